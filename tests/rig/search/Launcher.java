// Starts a node inside a plain Java process, out of the libraries that are published for it: the full
// distributions are not. build.sh puts the product's names in place of those between @.

import java.util.Collections;
import org.@PRODUCT@.common.settings.Settings;
import org.@PRODUCT@.env.Environment;
import org.@PRODUCT@.node.Node;
import org.@PRODUCT@.transport.Netty4Plugin;

public final class Launcher extends Node {
    private Launcher(Settings settings) {
        super(new Environment(settings, null), Collections.singletonList(Netty4Plugin.class), false);
    }

    // Elasticsearch 6 demands it.
    protected void registerDerivedNodeNameWithLogger(String name) {}

    /** Arguments are settings: {@code http.port=9200}. */
    public static void main(String[] arguments) throws Exception {
        Settings.Builder settings = Settings.builder();
        for (String argument : arguments) {
            String[] setting = argument.split("=", 2);
            settings.put(setting[0], setting[1]);
        }
        new Launcher(settings.build()).start();
        // The threads of a node do not keep the process alive.
        Thread.currentThread().join();
    }
}

// Starts a node inside a plain Java process, out of the libraries that are published for it: the full
// distributions are not. build.sh puts the product's names in place of those between @.

import java.util.Collection;
import java.util.Collections;
import org.@PRODUCT@.Version;
import org.@PRODUCT@.common.settings.Settings;
import org.@PRODUCT@.env.Environment;
import org.@PRODUCT@.node.Node;
import org.@PRODUCT@.transport.@PLUGIN@;

public final class Launcher extends Node {
    // Raw: OpenSearch 3 wants descriptions of plugins, the others want their classes.
    @SuppressWarnings({"unchecked", "rawtypes"})
    private Launcher(Settings settings) throws Exception {
        super(new Environment(settings, null), (Collection) plugins(), false);
    }

    private static Collection<?> plugins() throws Exception {
        Class<?> plugin = @PLUGIN@.class;
        if (!plugin.getSimpleName().equals("Netty4ModulePlugin")) {
            return Collections.singletonList(plugin);
        }
        Object description = Class.forName("org.@PRODUCT@.plugins.PluginInfo")
            .getConstructor(String.class, String.class, String.class, Version.class, String.class,
                String.class, String.class, java.util.List.class, boolean.class)
            .newInstance("netty", "", "", Version.CURRENT, "17", plugin.getName(), "",
                Collections.emptyList(), false);
        return Collections.singletonList(description);
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

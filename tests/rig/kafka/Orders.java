// Orders to a running server that librdkafka's client for administrators does not give: passwords and permissions.
//
//   Orders BROKER password USER PASSWORD     of both SCRAM mechanisms
//   Orders BROKER allow USER TOPIC           to write to a topic, and so nobody else

import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ScramCredentialInfo;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.UserScramCredentialUpsertion;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;

public final class Orders {
    private static final int ITERATIONS = 4096;

    public static void main(String[] arguments) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", (Object) arguments[0]))) {
            String user = arguments[2];
            switch (arguments[1]) {
                case "password" -> {
                    for (ScramMechanism mechanism : List.of(ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)) {
                        var change = new UserScramCredentialUpsertion(
                            user, new ScramCredentialInfo(mechanism, ITERATIONS), arguments[3]);
                        admin.alterUserScramCredentials(List.of(change)).all().get();
                    }
                }
                case "allow" -> admin.createAcls(List.of(acl(user, arguments[3]))).all().get();
                default -> throw new IllegalArgumentException(arguments[1]);
            }
        }
    }

    private static AclBinding acl(String user, String topic) {
        return new AclBinding(
            new ResourcePattern(ResourceType.TOPIC, topic, PatternType.LITERAL),
            new AccessControlEntry("User:" + user, "*", AclOperation.WRITE, AclPermissionType.ALLOW));
    }
}

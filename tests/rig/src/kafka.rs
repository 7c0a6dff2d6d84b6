//! A real Apache Kafka: one node without `ZooKeeper`.
//!
//! Invariant: it keeps its ports, its data and its certificates over kills and starts, and nothing of it is left
//! when it is dropped. A topic is only there when somebody has created it.

use crate::binaries::output;
use crate::port::ReservedPort;
use crate::process::{Output, Process};
use crate::server::{open_log, wait_until_ready};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use tokio::net::TcpStream;

/// How a client comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KafkaListener {
    /// Whoever comes may do everything.
    Plain,
    /// With a password: PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512.
    Sasl,
    /// With a certificate of [`Kafka::authority`].
    Tls,
}

/// A running Kafka; see the module.
#[derive(Debug)]
pub struct Kafka {
    // Dropped before the folder it writes to.
    process: Option<Process>,
    libraries: PathBuf,
    folder: TempDir,
    plain: ReservedPort,
    sasl: ReservedPort,
    tls: ReservedPort,
    controller: ReservedPort,
}

/// Its identity: any 16 bytes in base64.
const CLUSTER_ID: &str = "cmlnLWthZmthLXNlcnZlcg";

/// Settings that do not depend on ports and folders. Small, and soon back after a kill.
const SETTINGS: &str = "process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
listener.security.protocol.map=PLAIN:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SSL,CONTROLLER:PLAINTEXT
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
num.network.threads=1
num.io.threads=2
background.threads=2
log.cleaner.dedupe.buffer.size=8388608
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=2000
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=true
listener.name.tls.ssl.client.auth=required
listener.name.tls.ssl.keystore.type=PEM
listener.name.tls.ssl.truststore.type=PEM
";

impl Kafka {
    /// A user of both SCRAM mechanisms, and the password.
    pub const SCRAM_USER: (&'static str, &'static str) = ("scram", "s3cret-word");
    /// A user of the mechanism PLAIN, and the password.
    pub const PLAIN_USER: (&'static str, &'static str) = ("plain", "s3cret-text");

    /// Fetches it where it is missing, and starts an empty one.
    pub async fn start() -> Self {
        let libraries = tokio::task::spawn_blocking(fetch).await.expect("fetch Kafka");
        let mut server = Self {
            process: None,
            libraries,
            folder: tempfile::Builder::new().prefix("rig-").tempdir().expect("make a folder"),
            plain: ReservedPort::new(),
            sasl: ReservedPort::new(),
            tls: ReservedPort::new(),
            controller: ReservedPort::new(),
        };
        make_certificates(server.folder.path());
        std::fs::write(server.settings(), server.all_settings()).expect("write a file");
        let mut format = server.command("kafka.tools.StorageTool");
        format.args(["format", "-t", CLUSTER_ID, "-c"]).arg(server.settings());
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
            let (user, password) = Self::SCRAM_USER;
            format.args(["--add-scram", &format!("{mechanism}=[name={user},password={password}]")]);
        }
        run(format).await;
        server.start_again().await;
        server
    }

    /// `HOST:PORT`.
    #[must_use]
    pub fn address(&self, listener: KafkaListener) -> String {
        let port = match listener {
            KafkaListener::Plain => &self.plain,
            KafkaListener::Sasl => &self.sasl,
            KafkaListener::Tls => &self.tls,
        };
        port.address().to_string()
    }

    /// File with the certificate of the authority that server and client have theirs from.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// Files with the certificate and the key of a client.
    #[must_use]
    pub fn client_certificate(&self) -> (PathBuf, PathBuf) {
        (self.path("client.pem"), self.path("client.key"))
    }

    /// Sets the password of a user of the SCRAM mechanisms.
    pub async fn set_password(&self, user: &str, password: &str) {
        self.order(&["password", user, password]).await;
    }

    /// Allows a user to write to a topic, and so nobody else who has not been allowed to.
    pub async fn allow(&self, user: &str, topic: &str) {
        self.order(&["allow", user, topic]).await;
    }

    /// How many bytes the messages of a topic's first partition take on disk.
    #[must_use]
    pub fn log_bytes(&self, topic: &str) -> u64 {
        let folder = self.path("data").join(format!("{topic}-0"));
        let files = std::fs::read_dir(folder).expect("the folder of a partition").flatten();
        let logs = files.filter(|file| file.path().extension().is_some_and(|it| it == "log"));
        logs.map(|file| file.metadata().expect("a file").len()).sum()
    }

    /// Ends it at once, as a power cut would.
    pub async fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill().await;
        }
    }

    /// Starts it on the same ports, with what it had stored.
    pub async fn start_again(&mut self) {
        let log = self.path("server.log");
        let mut command = self.command("kafka.Kafka");
        command.arg(self.settings());
        let process = Process::spawn(command, Output::File(open_log(&log)));
        let address = self.plain.address();
        wait_until_ready("Kafka", &process, &log, || async move {
            TcpStream::connect(address).await.ok().map(drop)
        })
        .await;
        self.process = Some(process);
    }

    /// Gives an order of `Orders.java`.
    async fn order(&self, arguments: &[&str]) {
        let mut command = self.command("Orders");
        command.arg(self.address(KafkaListener::Plain)).args(arguments);
        run(command).await;
    }

    fn command(&self, class: &str) -> Command {
        let path = self.libraries.display();
        let java = std::fs::read_to_string(self.libraries.join("java")).expect("the path of Java");
        let mut command = Command::new(java.trim());
        command
            // Small, and soon ready: it does not live long enough for more.
            .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
            .args(["-cp", &format!("{path}/classes:{path}/lib/*"), class]);
        command
    }

    fn settings(&self) -> PathBuf {
        self.path("server.properties")
    }

    fn all_settings(&self) -> String {
        let listener = |name: &str, port: &ReservedPort| format!("{name}://{}", port.address());
        let clients = [
            listener("PLAIN", &self.plain),
            listener("SASL", &self.sasl),
            listener("TLS", &self.tls),
        ]
        .join(",");
        let (user, password) = Self::PLAIN_USER;
        format!(
            "{SETTINGS}listeners={clients},{}\nadvertised.listeners={clients}\n\
             controller.quorum.voters=1@{}\nlog.dirs={}\n\
             listener.name.sasl.plain.sasl.jaas.config=\
             org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}=\"{password}\";\n\
             listener.name.tls.ssl.keystore.location={}\nlistener.name.tls.ssl.truststore.location={}\n",
            listener("CONTROLLER", &self.controller),
            self.controller.address(),
            self.path("data").display(),
            self.path("server.pem").display(),
            self.authority().display(),
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Writes certificates and keys of an authority, a server and a client.
fn make_certificates(folder: &Path) {
    let key = || KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("generate a key");
    let write = |name: &str, text: String| {
        std::fs::write(folder.join(name), text).expect("write a certificate");
    };
    let authority_key = key();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.distinguished_name.push(DnType::CommonName, "rig authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    write("ca.pem", authority.self_signed(&authority_key).unwrap().pem());
    let issuer = Issuer::new(authority, authority_key);
    let issue = |name: &str, usage| {
        let key = key();
        let names = ["localhost", "127.0.0.1"].map(String::from);
        let mut certificate = CertificateParams::new(names).unwrap();
        certificate.distinguished_name.push(DnType::CommonName, name);
        certificate.extended_key_usages = vec![usage];
        (certificate.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
    };
    let (certificate, key) = issue("kafka", ExtendedKeyUsagePurpose::ServerAuth);
    write("server.pem", key + &certificate);
    let (certificate, key) = issue("relay", ExtendedKeyUsagePurpose::ClientAuth);
    write("client.pem", certificate);
    write("client.key", key);
}

/// Runs a program of Kafka to its end.
async fn run(mut command: Command) {
    let ended = tokio::task::spawn_blocking(move || command.output());
    let output = ended.await.unwrap().expect("run a program of Kafka");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
}

fn fetch() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka/build.sh");
    let built = output();
    // Its messages go to the terminal: it fetches some 43 MB.
    let status = Command::new(script).env("RIG_OUTPUT", &built).status();
    let status = status.expect("run tests/rig/kafka/build.sh (it needs bash)");
    assert!(status.success(), "tests/rig/kafka/build.sh failed ({status}); see above");
    built.join("kafka/server")
}

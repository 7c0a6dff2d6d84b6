//! A real `MongoDB` of one test.
//!
//! Invariant: it keeps its port and its data over kills and starts, knows one administrator, and nothing of it is
//! left when it is dropped.

use crate::binaries::output;
use crate::port::ReservedPort;
use crate::process::{Output, Process};
use crate::server::{open_log, wait_until_ready};
use mongodb::Client;
use mongodb::bson::{Document, doc};
use mongodb::options::{ClientOptions, Credential, ServerAddress, Tls, TlsOptions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// What members of a replica set prove to each other. There is but one member.
const MEMBERS_KEY: &str = "cmVwbGljYS1zZXQtb2YtdGhlLXJpZw==";

/// A running `MongoDB`; see the module.
#[derive(Debug)]
pub struct MongoDb {
    // Dropped before the folder it writes to.
    process: Option<Process>,
    program: PathBuf,
    port: ReservedPort,
    folder: TempDir,
    topology: MongoTopology,
}

/// What kind of a server it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MongoTopology {
    /// A server alone.
    Standalone,
    /// The only member of a replica set.
    ReplicaSet,
    /// A server alone that speaks nothing but TLS: its certificate with the key, and the CA that signed it.
    Tls {
        /// Certificate and key in one PEM file.
        certificate: PathBuf,
        /// The PEM file of the CA.
        ca: PathBuf,
    },
}

impl MongoDb {
    /// The user that may do everything, and its password.
    pub const USER: (&'static str, &'static str) = ("relay", "s3cret-word");

    /// Starts an empty one and waits until it takes writes. It lets nobody do anything without a password. Test
    /// commands are on: `configureFailPoint` makes it fail as told.
    pub async fn start(topology: MongoTopology) -> Self {
        let program = tokio::task::spawn_blocking(program).await.unwrap();
        let folder = tempfile::Builder::new().prefix("rig-").tempdir().expect("make a folder");
        let mut server =
            Self { process: None, program, port: ReservedPort::new(), folder, topology };
        server.write_key();
        std::fs::create_dir(server.path("data")).expect("make a folder");
        server.run().await;
        server.make_user().await;
        server
    }

    /// `HOST:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        self.port.address().to_string()
    }

    /// The connection string for a user.
    #[must_use]
    pub fn uri(&self, user: &str, password: &str) -> String {
        format!("mongodb://{user}:{password}@{}/?authSource=admin", self.address())
    }

    /// A client of the user that may do everything.
    #[must_use]
    pub fn client(&self) -> Client {
        let (user, password) = Self::USER;
        let credential = Credential::builder()
            .username(user.to_owned())
            .password(password.to_owned())
            .source("admin".to_owned())
            .build();
        self.client_as(Some(credential))
    }

    /// The answer to a command in the database `admin`. Panics when it is refused.
    pub async fn admin(&self, command: Document) -> Document {
        let said = command.to_string();
        let answer = self.client().database("admin").run_command(command).await;
        answer.unwrap_or_else(|error| panic!("{said}: {error}"))
    }

    /// Ends it at once, as a power cut would.
    pub async fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill().await;
        }
    }

    /// Starts it on the same port, with what it had stored, and waits until it takes writes.
    pub async fn start_again(&mut self) {
        self.run().await;
        self.until_writable().await;
    }

    async fn run(&mut self) {
        let log = self.path("mongod.log");
        let mut command = Command::new(&self.program);
        command
            .args(["--bind_ip", "127.0.0.1", "--nounixsocket", "--auth", "--quiet"])
            .args(["--wiredTigerCacheSizeGB", "0.25"])
            .args(["--setParameter", "enableTestCommands=1"])
            .args(["--setParameter", "diagnosticDataCollectionEnabled=false"])
            .arg("--port")
            .arg(self.port.number().to_string())
            .arg("--dbpath")
            .arg(self.path("data"));
        match &self.topology {
            MongoTopology::Standalone => {}
            MongoTopology::ReplicaSet => {
                command.args(["--replSet", "rig", "--keyFile"]).arg(self.path("key"));
            }
            MongoTopology::Tls { certificate, ca } => {
                command.args([
                    "--tlsMode",
                    "requireTLS",
                    "--tlsAllowConnectionsWithoutCertificates",
                ]);
                command.arg("--tlsCertificateKeyFile").arg(certificate);
                command.arg("--tlsCAFile").arg(ca);
            }
        }
        let process = Process::spawn(command, Output::File(open_log(&log)));
        let client = self.client_as(None);
        wait_until_ready("mongod", &process, &log, || async {
            client.database("admin").run_command(doc! {"ping": 1}).await.ok()
        })
        .await;
        self.process = Some(process);
    }

    /// The first user can be made without one, from this machine.
    async fn make_user(&self) {
        let database = self.client_as(None).database("admin");
        if self.topology == MongoTopology::ReplicaSet {
            let member = doc! {"_id": 0, "host": self.address()};
            let initiate = doc! {"replSetInitiate": {"_id": "rig", "members": [member]}};
            database.run_command(initiate).await.expect("begin a replica set");
        }
        self.until_writable().await;
        let (user, password) = Self::USER;
        let create = doc! {"createUser": user, "pwd": password, "roles": ["root"]};
        database.run_command(create).await.expect("make a user");
    }

    /// A member of a replica set is elected first.
    async fn until_writable(&self) {
        let database = self.client_as(None).database("admin");
        let process = self.process.as_ref().expect("it runs");
        wait_until_ready("mongod", process, &self.path("mongod.log"), || async {
            let hello = database.run_command(doc! {"hello": 1}).await.ok()?;
            hello.get_bool("isWritablePrimary").ok().filter(|writable| *writable)
        })
        .await;
    }

    fn client_as(&self, credential: Option<Credential>) -> Client {
        let address =
            ServerAddress::Tcp { host: "127.0.0.1".to_owned(), port: Some(self.port.number()) };
        let mut options = ClientOptions::builder()
            .hosts(vec![address])
            .credential(credential)
            .direct_connection(true)
            .server_selection_timeout(Duration::from_secs(1))
            .build();
        if let MongoTopology::Tls { ca, .. } = &self.topology {
            let tls = TlsOptions::builder().ca_file_path(ca.clone()).build();
            options.tls = Some(Tls::Enabled(tls));
        }
        Client::with_options(options).expect("a client")
    }

    /// It refuses a key that others may read.
    fn write_key(&self) {
        let path = self.path("key");
        std::fs::write(&path, MEMBERS_KEY).expect("write a file");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("close a file");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn program() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("mongodb.sh");
    let run = Command::new(script).env("RIG_OUTPUT", output()).output();
    let run = run.expect("run tests/rig/mongodb.sh (it needs bash)");
    let problem = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "tests/rig/mongodb.sh failed: {problem}");
    String::from_utf8(run.stdout).expect("a path of text").trim().into()
}

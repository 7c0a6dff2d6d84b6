//! A real MariaDB of one test.
//!
//! Invariant: it keeps its port and its data over kills and starts, and nothing of it is left when it is
//! dropped. It never runs as a service of the machine.

use crate::port::ReservedPort;
use crate::process::{Output, Process};
use crate::server::{open_log, wait_until_ready};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// The server.
const SERVER: &str = "mariadbd";

/// Makes its first data.
const MAKE_DATA: &str = "mariadb-install-db";

/// Programs with Debian's package that has them, and no service: the third is one the second calls.
const PROGRAMS: [(&str, &str); 3] = [
    (SERVER, "mariadb-server-core"),
    (MAKE_DATA, "mariadb-server-core"),
    ("my_print_defaults", "mariadb-client-core"),
];

/// A running MariaDB; see the module.
#[derive(Debug)]
pub struct MariaDb {
    // Dropped before the folder it writes to.
    process: Option<Process>,
    port: ReservedPort,
    folder: TempDir,
}

impl MariaDb {
    /// The user that may do everything, and its password.
    pub const USER: (&'static str, &'static str) = ("relay", "s3cret-word");

    /// Installs the server where it is missing, and starts one with a database `relay`.
    pub async fn start() -> Self {
        tokio::task::spawn_blocking(install).await.expect("install MariaDB");
        let folder = tempfile::Builder::new().prefix("rig-").tempdir().expect("make a folder");
        let mut server = Self { process: None, port: ReservedPort::new(), folder };
        server.make_data();
        server.start_again().await;
        server
    }

    /// `HOST:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        self.port.address().to_string()
    }

    /// Ends it at once, as a power cut would.
    pub async fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill().await;
        }
    }

    /// Starts it on the same port, with what it had stored.
    pub async fn start_again(&mut self) {
        let log = self.path("server.log");
        let mut command = program(SERVER);
        command
            .arg("--no-defaults")
            .arg(format!("--datadir={}", self.path("data").display()))
            .arg(format!("--socket={}", self.path("socket").display()))
            .arg(format!("--pid-file={}", self.path("pid").display()))
            .arg(format!("--init-file={}", self.path("init.sql").display()))
            .arg(format!("--port={}", self.port.number()))
            .args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--skip-log-bin"])
            .args(["--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M"]);
        as_root(&mut command);
        let process = Process::spawn(command, Output::File(open_log(&log)));
        let address = self.port.address();
        wait_until_ready("mariadbd", &process, &log, || async move {
            let mut greeting = [0; 5];
            let mut stream = TcpStream::connect(address).await.ok()?;
            stream.read_exact(&mut greeting).await.ok().map(drop)
        })
        .await;
        self.process = Some(process);
    }

    fn make_data(&self) {
        let (user, password) = Self::USER;
        let sql = format!(
            "CREATE DATABASE IF NOT EXISTS relay;\n\
             CREATE USER IF NOT EXISTS '{user}'@'%' IDENTIFIED BY '{password}';\n\
             GRANT ALL ON *.* TO '{user}'@'%' WITH GRANT OPTION;\n"
        );
        std::fs::write(self.path("init.sql"), sql).expect("write a file");
        let mut command = program(MAKE_DATA);
        command
            .arg("--no-defaults")
            .arg(format!("--datadir={}", self.path("data").display()))
            .args(["--auth-root-authentication-method=normal", "--skip-test-db", "--force"]);
        as_root(&mut command);
        let output = command.output().expect("run mariadb-install-db");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "mariadb-install-db failed: {said}");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// It refuses to run as root unless it is told to.
fn as_root(command: &mut Command) {
    if rustix::process::getuid().is_root() {
        command.arg("--user=root");
    }
}

/// Servers are in folders that are not on everybody's path.
fn program(name: &str) -> Command {
    let folders = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
    let found =
        folders.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists());
    Command::new(found.unwrap_or_else(|| name.into()))
}

fn install() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("install.sh");
    for (name, package) in PROGRAMS {
        let status = Command::new(&script).args([name, package]).status();
        let status = status.expect("run tests/rig/install.sh (it needs bash)");
        assert!(status.success(), "tests/rig/install.sh {name} {package} failed: {status}");
    }
}

//! A real MariaDB, and in it one database with one user.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mysql_async::Conn;
use rig::MariaDb;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{Arrival, POISON, SECRET, Service};
use crate::fakes::mariadb;

pub(super) struct MySql {
    server: Arc<Mutex<MariaDb>>,
    /// Of the database, and of its user.
    name: String,
    /// The only connection that the user may have.
    only: Mutex<Option<Conn>>,
}

/// The table, as the sink makes it.
const TABLE: &str = include_str!("../../migrations/mysql/0001-kube-event.sql");

impl MySql {
    pub(super) async fn start(server: Arc<Mutex<MariaDb>>, name: &str) -> Self {
        let it = Self { server, name: name.to_owned(), only: Mutex::default() };
        it.run(&format!("CREATE DATABASE {name}")).await;
        it.run(&format!("CREATE USER {name} IDENTIFIED BY '{SECRET}'")).await;
        it.run(&format!("GRANT ALL ON {name}.* TO {name}")).await;
        it.run(&TABLE.replace("{table}", &format!("{name}.kube_event"))).await;
        it
    }

    async fn run(&self, statement: &str) {
        mariadb::run(&*self.server.lock().await, statement).await;
    }
}

#[async_trait]
impl Service for MySql {
    fn kind(&self) -> &'static str {
        "mysql"
    }

    async fn address(&self) -> SocketAddr {
        self.server.lock().await.address().parse().expect("an address")
    }

    fn options(&self, _address: SocketAddr, credential: &Path) -> Value {
        json!({"dsn": {"file": credential}})
    }

    fn credential(&self, address: SocketAddr, secret: &str) -> String {
        let name = &self.name;
        format!("{name}:{secret}@tcp({address})/{name}")
    }

    async fn arrivals(&self) -> Vec<Arrival> {
        let query = format!("SELECT record_id, message FROM {}.kube_event ORDER BY id", self.name);
        let rows: Vec<(String, String)> = mariadb::rows(&*self.server.lock().await, &query).await;
        rows.into_iter().map(|(identity, message)| Arrival { identity, message }).collect()
    }

    fn knows_copies(&self) -> bool {
        true
    }

    async fn kill(&self) {
        self.server.lock().await.kill().await;
    }

    async fn start_again(&self) {
        self.server.lock().await.start_again().await;
    }

    async fn refuse_poison(&self) -> &'static str {
        let table = format!("{}.kube_event", self.name);
        self.run(&format!("ALTER TABLE {table} ADD CHECK (message <> '{POISON}')")).await;
        "CONSTRAINT"
    }

    async fn know(&self, secret: &str) -> bool {
        self.run(&format!("ALTER USER {} IDENTIFIED BY '{secret}'", self.name)).await;
        true
    }

    fn remedy(&self) -> &'static str {
        "check user and password in the option `dsn`"
    }

    /// It names no time: whoever is over the limit tries again as with any other failure.
    async fn exceed(&self) -> Option<&'static str> {
        self.run(&format!("ALTER USER {} WITH MAX_USER_CONNECTIONS 1", self.name)).await;
        self.run(&format!("KILL USER {}", self.name)).await;
        let server = self.server.lock().await;
        let connect = || mariadb::try_connection(&server, (&self.name, SECRET), &self.name);
        let mut connection = connect().await;
        while connection.is_err() {
            // The one that was killed has not ended yet, and nothing tells when it does.
            tokio::time::sleep(Duration::from_millis(20)).await;
            connection = connect().await;
        }
        *self.only.lock().await = connection.ok();
        Some("'max_user_connections' resource")
    }

    async fn allow(&self) {
        self.only.lock().await.take();
    }
}

//! The real MariaDB of the rig, as a test looks into it.

use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, OptsBuilder};
use rig::MariaDb;

/// A connection of the user that may do everything.
pub async fn connection(server: &MariaDb) -> Conn {
    try_connection(server, MariaDb::USER, "relay").await.expect("a connection")
}

/// A connection of this user with this password to a database, or why there is none.
pub async fn try_connection(
    server: &MariaDb,
    (user, password): (&str, &str),
    database: &str,
) -> Result<Conn, mysql_async::Error> {
    let address = server.address();
    let (host, port) = address.rsplit_once(':').expect("an address");
    let opts = OptsBuilder::default()
        .ip_or_hostname(host)
        .tcp_port(port.parse().expect("a port"))
        .user(Some(user))
        .pass(Some(password))
        .prefer_socket(false)
        .db_name(Some(database));
    Conn::new(opts).await
}

/// Runs a statement.
pub async fn run(server: &MariaDb, statement: &str) {
    connection(server).await.query_drop(statement).await.expect(statement);
}

/// The rows of a query.
pub async fn rows<T: FromRow + Send + 'static>(server: &MariaDb, query: &str) -> Vec<T> {
    connection(server).await.query(query).await.expect(query)
}

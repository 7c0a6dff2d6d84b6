//! What an error of the server means (dev.mysql.com, "Server Error Message Reference").

use mysql_async::Error;

use crate::sink::Outcome;
use crate::sink::http::Redaction;

/// The outcome for the whole statement. One row that is refused refuses all: the runner finds it.
pub(super) fn outcome(error: &Error, redaction: &Redaction) -> Outcome {
    let said = redaction.explain(&error.to_string());
    let code = match error {
        Error::Server(server) => server.code,
        Error::Url(_) => return Outcome::Hold { cause: format!("{said}; check the option `dsn`") },
        _ => return Outcome::Retry { after: None, cause: said },
    };
    let hold = |remedy: &str| Outcome::Hold { cause: format!("{said}; {remedy}") };
    match code {
        1044 | 1045 | 1698 | 1251 | 1130 | 1820 | 1862 | 2059 => {
            hold("check user and password in the option `dsn`, and from where the user may come")
        }
        1049 => hold("create the database, or name another one in the option `dsn`"),
        1142 | 1143 => hold("allow the user to INSERT into the table and to CREATE it"),
        1146 | 1109 | 1305 => hold("the table is gone; it is made when the user may CREATE it"),
        1054 | 1064 | 1136 | 1364 => {
            hold("the table is not that of kube-eventer; name another one in the option `table`")
        }
        2026 => hold("the server does not speak TLS as configured: check tls in the option `dsn`"),
        // A CHECK of the table (MySQL, MariaDB) or a trigger does not want it.
        3819 | 4025 | 1644 | 1406 | 1366 | 1264 | 1265 | 1292 | 1300 | 1048 | 1118 | 3140
        | 1153 => Outcome::Rejected { reason: said },
        _ => Outcome::Retry { after: None, cause: said },
    }
}

/// Whether the connection is of no use any more: the server goes down, or another one leads now.
pub(super) fn ends_connection(error: &Error) -> bool {
    match error {
        Error::Server(server) => {
            matches!(
                server.code,
                1053 | 1077 | 1079 | 1927 | 4031 | 1290 | 1792 | 1836 | 1874 | 1146
            )
        }
        _ => true,
    }
}

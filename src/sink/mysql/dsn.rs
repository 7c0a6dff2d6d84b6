//! The notation of go-sql-driver/mysql for a database: `[user[:password]@][net[(addr)]]/db[?k=v&…]`.
//!
//! Source: github.com/go-sql-driver/mysql, README, "DSN". Invariant: no error shows any text of it.

use mysql_async::{Opts, OptsBuilder, SslOpts};
use percent_encoding::percent_decode_str;

/// Where a database is and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Dsn {
    user: Option<String>,
    password: Option<String>,
    place: Place,
    database: String,
    tls: Tls,
    /// `SET` statements of the session, which is what unknown parameters are.
    session: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Tcp(String, u16),
    Socket(String),
}

impl Default for Place {
    fn default() -> Self {
        Self::Tcp("127.0.0.1".to_owned(), PORT)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Tls {
    #[default]
    Off,
    On,
    /// Encrypted, but nobody checks with whom.
    Unverified,
}

const PORT: u16 = 3306;

/// Parameters that only concern the Go program that reads them, or what is always so here.
const WITHOUT_MEANING: [&str; 20] = [
    "allowAllFiles",
    "allowCleartextPasswords",
    "allowFallbackToPlaintext",
    "allowNativePasswords",
    "allowOldPasswords",
    "charset",
    "checkConnLiveness",
    "clientFoundRows",
    "collation",
    "columnsWithAlias",
    "compress",
    "connectionAttributes",
    "interpolateParams",
    "loc",
    "maxAllowedPacket",
    "multiStatements",
    "parseTime",
    "readTimeout",
    "timeout",
    "writeTimeout",
];

/// A refusal of data is an error and not a warning, so that nothing is cut silently.
const STRICT: &str = "SET SESSION sql_mode = CONCAT(@@SESSION.sql_mode, ',STRICT_ALL_TABLES')";

impl Dsn {
    /// Reads it. The error says what is wrong and what to write instead.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let Some((front, rest)) = text.rsplit_once('/') else {
            return Err("write it as user:password@tcp(HOST:PORT)/DATABASE".to_owned());
        };
        let (database, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (user_info, address) =
            front.rsplit_once('@').map_or((None, front), |(user, at)| (Some(user), at));
        let (user, password) = match user_info.map(|user| user.split_once(':').ok_or(user)) {
            None => (None, None),
            Some(Ok((user, password))) => (Some(user), Some(password)),
            Some(Err(user)) => (Some(user), None),
        };
        let mut dsn = Self {
            user: user.map(str::to_owned),
            password: password.map(str::to_owned),
            place: place(address)?,
            database: percent_decode_str(database).decode_utf8_lossy().into_owned(),
            ..Self::default()
        };
        for pair in parameters.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            dsn.parameter(name, &percent_decode_str(value).decode_utf8_lossy())?;
        }
        Ok(dsn)
    }

    fn parameter(&mut self, name: &str, value: &str) -> Result<(), String> {
        let is_name = |name: &str| {
            let mut characters = name.chars();
            characters.all(|it| it.is_ascii_alphanumeric() || it == '_' || it == '.')
        };
        match name {
            "tls" => {
                self.tls = match value {
                    "false" | "0" | "" | "preferred" => Tls::Off,
                    "skip-verify" => Tls::Unverified,
                    _ => Tls::On,
                }
            }
            _ if WITHOUT_MEANING.contains(&name) => {}
            _ if is_name(name) => self.session.push(format!("SET {name}={value}")),
            _ => return Err("a parameter has a name that no session variable has".to_owned()),
        }
        Ok(())
    }

    /// What the driver needs. `ca` is a file with certificates that are trusted beside the usual ones.
    pub(super) fn opts(&self, ca: Option<&std::path::Path>) -> Opts {
        let builder = OptsBuilder::default()
            .user(self.user.clone())
            .pass(self.password.clone())
            .db_name(Some(self.database.clone()).filter(|name| !name.is_empty()))
            .prefer_socket(false)
            .setup([&[STRICT.to_owned()], self.session.as_slice()].concat());
        let builder = match &self.place {
            Place::Tcp(host, port) => builder.ip_or_hostname(host.clone()).tcp_port(*port),
            Place::Socket(path) => builder.socket(Some(path.clone())),
        };
        let tls = match (self.tls, ca) {
            (Tls::Off, None) => None,
            (Tls::Unverified, _) => Some(
                SslOpts::default()
                    .with_danger_accept_invalid_certs(true)
                    .with_danger_skip_domain_validation(true),
            ),
            (_, Some(ca)) => Some(SslOpts::default().with_root_certs(vec![ca.to_owned().into()])),
            (Tls::On, None) => Some(SslOpts::default()),
        };
        builder.ssl_opts(tls).into()
    }

    /// The database, for look-ups in the catalogue.
    pub(super) fn database(&self) -> &str {
        &self.database
    }

    /// What must not be shown.
    pub(super) fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }
}

fn place(address: &str) -> Result<Place, String> {
    let (network, address) = match address.strip_suffix(')').and_then(|it| it.split_once('(')) {
        Some((network, address)) => (network, Some(address)),
        None => (address, None),
    };
    match (network, address) {
        ("unix", Some(path)) => Ok(Place::Socket(path.to_owned())),
        ("unix", None) => Ok(Place::Socket("/tmp/mysql.sock".to_owned())),
        ("tcp" | "", None | Some("")) => Ok(Place::default()),
        ("tcp" | "", Some(address)) => {
            let (host, port) = match address.rsplit_once(':') {
                Some((host, port)) if !port.contains(']') => {
                    (host, port.parse().map_err(|_| "the port is no number".to_owned())?)
                }
                _ => (address, PORT),
            };
            let host = host.trim_start_matches('[').trim_end_matches(']');
            Ok(Place::Tcp(host.to_owned(), port))
        }
        _ => Err("the network is neither tcp nor unix: write tcp(HOST:PORT)".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tcp(host: &str, port: u16) -> Place {
        Place::Tcp(host.to_owned(), port)
    }

    #[test]
    fn reads_what_kube_eventers_documentation_writes() {
        let dsn = Dsn::parse(
            "root:p@ss:w/rd@tcp(10.0.0.1:3307)/kube_eventer?charset=utf8&tls=skip-verify&wait_timeout=10",
        );
        let dsn = dsn.expect("a DSN");
        assert_eq!((dsn.user.as_deref(), dsn.password()), (Some("root"), Some("p@ss:w/rd")));
        assert_eq!((dsn.place.clone(), dsn.database()), (tcp("10.0.0.1", 3307), "kube_eventer"));
        assert_eq!(dsn.tls, Tls::Unverified);
        assert_eq!(dsn.session, ["SET wait_timeout=10"]);
    }

    #[test]
    fn reads_the_short_forms() {
        for (text, place, database) in [
            ("/db", tcp("127.0.0.1", 3306), "db"),
            ("tcp/db", tcp("127.0.0.1", 3306), "db"),
            ("u@tcp(db.example)/", tcp("db.example", 3306), ""),
            ("u:p@tcp([::1]:33)/a%2Fb", tcp("::1", 33), "a/b"),
            ("u@unix(/run/my/sql.sock)/db", Place::Socket("/run/my/sql.sock".into()), "db"),
        ] {
            let dsn = Dsn::parse(text).expect(text);
            assert_eq!((dsn.place.clone(), dsn.database()), (place, database), "{text}");
        }
        assert!(Dsn::parse("root:pw@tcp(h:3306)").is_err());
        assert!(Dsn::parse("udp(h:1)/db").is_err());
        assert!(Dsn::parse("u:hunter2@tcp(h:x)/db").is_err_and(|error| !error.contains("hunter2")));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _read = Dsn::parse(&text);
        }
    }
}

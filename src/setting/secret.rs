//! Secrets: written literally, taken from the environment, or read from a file.
//!
//! Invariant: no `Display`, `Debug` or `Serialize` of a [`Secret`] shows its text.

use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};

/// A credential. In YAML a literal, `{env: NAME}` or `{file: PATH}`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "expected a secret: text, {env: NAME} or {file: PATH}")]
pub enum Secret {
    /// The text itself.
    Literal(String),
    /// The name of an environment variable.
    Environment {
        /// Its name.
        env: String,
    },
    /// A file; surrounding white space is not part of the secret.
    File {
        /// Its path.
        file: PathBuf,
    },
}

/// A secret that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The environment variable is not set.
    #[error("environment variable {0} is not set; set it, or write the secret as {{file: PATH}}")]
    Environment(String),
    /// The file cannot be read.
    #[error("cannot read the secret file {path}: {cause}")]
    File {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
}

impl Secret {
    /// The secret as of now. Files are read anew each time, because credentials rotate.
    pub fn reveal(&self) -> Result<String, SecretError> {
        match self {
            Self::Literal(text) => Ok(text.clone()),
            Self::Environment { env } => {
                std::env::var(env).map_err(|_| SecretError::Environment(env.clone()))
            }
            Self::File { file } => std::fs::read_to_string(file)
                .map(|text| text.trim().to_owned())
                .map_err(|cause| SecretError::File { path: file.clone(), cause }),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(_) => formatter.write_str("<secret>"),
            Self::Environment { env } => write!(formatter, "<secret from ${env}>"),
            Self::File { file } => write!(formatter, "<secret from {}>", file.display()),
        }
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "lowercase")]
        enum Place<'a> {
            Env(&'a str),
            File(&'a PathBuf),
        }
        match self {
            Self::Literal(_) => serializer.serialize_str("<secret>"),
            Self::Environment { env } => Place::Env(env).serialize(serializer),
            Self::File { file } => Place::File(file).serialize(serializer),
        }
    }
}

/// The key in its schema that tells a secret from a text.
pub const SECRET_MARK: &str = "x-secret";

impl JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ SECRET_MARK: true, "type": ["string", "object"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_shows_its_text() {
        let secret = Secret::Literal("hunter2".into());
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert_eq!(serde_json::to_string(&secret).expect("JSON"), r#""<secret>""#);
    }

    #[test]
    fn names_the_place_it_comes_from() {
        let secret: Secret = serde_json::from_str(r#"{"env":"NO_SUCH_VARIABLE"}"#).expect("valid");
        assert_eq!(serde_json::to_string(&secret).expect("JSON"), r#"{"env":"NO_SUCH_VARIABLE"}"#);
        assert!(secret.reveal().expect_err("unset").to_string().contains("NO_SUCH_VARIABLE"));
    }
}

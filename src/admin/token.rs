//! The token of those who may change the relay.
//!
//! Invariants: it is in a file that only the relay's user can read, made at the first start; it is never
//! shown; whether a token is right takes as long for one that is nearly right.

use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq;

/// Its file in the data directory.
const FILE: &str = "admin-token";

/// Random bytes in it.
const BYTES: usize = 32;

/// The file with the token. It is read anew each time, so a new one counts at once.
#[derive(Debug, Clone)]
pub struct AdminToken(PathBuf);

/// There is no token.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} the token {path}: {cause}; changes are refused until it is there")]
pub struct TokenError {
    action: &'static str,
    path: PathBuf,
    #[source]
    cause: io::Error,
}

impl AdminToken {
    /// The token of the relay with this data directory.
    #[must_use]
    pub fn of(data_dir: &Path) -> Self {
        Self(data_dir.join(FILE))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes one, unless there is one.
    pub fn prepare(&self) -> Result<(), TokenError> {
        if self.0.exists() {
            return Ok(());
        }
        let made = random().and_then(|token| write_private(&self.0, &token));
        match made {
            Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => {
                Err(self.error("make", cause))
            }
            _ => Ok(()),
        }
    }

    /// Whether `presented` is the token.
    pub fn admits(&self, presented: &str) -> Result<bool, TokenError> {
        let token = self.read()?;
        Ok(!token.is_empty() && bool::from(token.as_bytes().ct_eq(presented.as_bytes())))
    }

    /// The token itself.
    pub fn read(&self) -> Result<String, TokenError> {
        let text = std::fs::read_to_string(&self.0);
        text.map(|text| text.trim().to_owned()).map_err(|cause| self.error("read", cause))
    }

    fn error(&self, action: &'static str, cause: io::Error) -> TokenError {
        TokenError { action, path: self.0.clone(), cause }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text cannot fail.
        let _written = write!(text, "{byte:02x}");
        text
    })
}

fn random() -> io::Result<String> {
    let mut bytes = [0_u8; BYTES];
    let mut filled = 0;
    while filled < BYTES {
        let flags = rustix::rand::GetRandomFlags::empty();
        filled += rustix::rand::getrandom(&mut bytes[filled..], flags)?;
    }
    Ok(hexadecimal(&bytes))
}

/// Writes a file that appears whole, for its owner only.
fn write_private(path: &Path, token: &str) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    // A temporary file is made with mode 0600.
    let file = tempfile::NamedTempFile::new_in(directory)?;
    std::fs::write(file.path(), format!("{token}\n"))?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_token_is_made_once_for_its_owner_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let token = AdminToken::of(folder.path());
        assert!(token.admits("").is_err(), "there is none");
        token.prepare().expect("made");
        let text = token.read().expect("a token");
        assert_eq!(text.len(), 2 * BYTES);
        token.prepare().expect("there");
        assert_eq!(token.read().expect("a token"), text);
        let mode = std::fs::metadata(token.path()).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn only_the_token_admits() {
        let folder = tempfile::tempdir().expect("a folder");
        let token = AdminToken::of(folder.path());
        token.prepare().expect("made");
        let text = token.read().expect("a token");
        assert!(token.admits(&text).expect("a token"));
        assert!(!token.admits(&text[1..]).expect("a token"));
        assert!(!token.admits("").expect("a token"));
        std::fs::write(token.path(), "\n").expect("written");
        assert!(!token.admits("").expect("an empty file admits nobody"));
    }
}

//! How often a service may be called with one credential.

use sha2::{Digest, Sha256};

use super::Rate;
use super::signing::hexadecimal;

/// Bytes of a key's digest.
const KEY_BYTES: usize = 8;

/// What a service allows to one credential. Sinks with the same key share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    key: String,
    rates: Vec<Rate>,
}

impl Quota {
    /// A quota of a credential, which is kept as a digest only. `rates` are the limits of the service,
    /// the tightest first, with a margin; all of them hold.
    #[must_use]
    pub fn new(kind: &str, credential: &str, rates: Vec<Rate>) -> Self {
        let digest = Sha256::digest(credential);
        Self { key: format!("{kind}:{}", hexadecimal(&digest[..KEY_BYTES])), rates }
    }

    /// The quota of one sink alone, whatever its credential.
    #[must_use]
    pub fn of_sink(name: &str, rate: Rate) -> Self {
        Self { key: format!("sink:{name}"), rates: vec![rate] }
    }

    /// The same quota with a person's limit instead of the service's.
    #[must_use]
    pub fn with_rate(self, rate: Rate) -> Self {
        Self { rates: vec![rate], ..self }
    }

    /// Names it, without the credential.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its limits.
    #[must_use]
    pub fn rates(&self) -> &[Rate] {
        &self.rates
    }
}

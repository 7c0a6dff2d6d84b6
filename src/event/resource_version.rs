//! `resourceVersion` as an ordered value.
//!
//! Since Kubernetes 1.35 (KEP-5504) the versions of one resource are comparable as unsigned
//! decimals of any length: a longer one is greater, equal lengths compare bytewise. Every
//! kube-apiserver has always numbered events this way. Anything else is refused, never guessed.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A version the API server gave to a state of its store. Never empty, never zero.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct ResourceVersion(Box<str>);

/// The text is not a comparable resourceVersion.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "resourceVersion {0:?} is not a decimal number without leading zeros, so it cannot be ordered; \
     the relay needs a kube-apiserver, not an aggregated API with opaque versions"
)]
pub struct InvalidResourceVersion(pub String);

impl ResourceVersion {
    /// The longest version that fits the key encoding of the log.
    pub const MAX_DIGITS: usize = 255;

    /// The first version there can be.
    #[must_use]
    pub fn first() -> Self {
        Self("1".into())
    }

    /// The version right before this one; none is before the first.
    #[must_use]
    pub fn previous(&self) -> Option<Self> {
        let mut digits = self.0.as_bytes().to_vec();
        for digit in digits.iter_mut().rev() {
            if *digit > b'0' {
                *digit -= 1;
                break;
            }
            *digit = b'9';
        }
        // 100 has become 099; 1 has become 0, which is no version.
        let text = std::str::from_utf8(&digits).ok()?;
        text.trim_start_matches('0').parse().ok()
    }

    /// The decimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ResourceVersion {
    type Err = InvalidResourceVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ordered = matches!(text.as_bytes().first(), Some(b'1'..=b'9'))
            && text.len() <= Self::MAX_DIGITS
            && text.bytes().all(|byte| byte.is_ascii_digit());
        if ordered { Ok(Self(text.into())) } else { Err(InvalidResourceVersion(text.to_owned())) }
    }
}

impl TryFrom<String> for ResourceVersion {
    type Error = InvalidResourceVersion;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ResourceVersion> for String {
    fn from(version: ResourceVersion) -> Self {
        version.0.into()
    }
}

impl Ord for ResourceVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.0.len(), &self.0).cmp(&(other.0.len(), &other.0))
    }
}

impl PartialOrd for ResourceVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for ResourceVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for ResourceVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version(text: &str) -> ResourceVersion {
        text.parse().expect("a valid version")
    }

    #[test]
    fn orders_like_the_vectors_of_kep_5504() {
        assert!(version("9") < version("10"));
        assert!(version("100") > version("99"));
        assert!(version("18446744073709551616") > version("18446744073709551615"));
    }

    #[test]
    fn refuses_what_cannot_be_ordered() {
        for text in ["", "0", "007", "-1", "1a", " 1", "１"] {
            assert!(text.parse::<ResourceVersion>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn below_the_first_there_is_none() {
        assert_eq!(ResourceVersion::first().previous(), None);
        assert_eq!(version("1000").previous(), Some(version("999")));
    }

    proptest! {
        #[test]
        fn the_one_before_is_one_less(number in 2u128..) {
            prop_assert_eq!(
                version(&number.to_string()).previous(),
                Some(version(&(number - 1).to_string()))
            );
        }

        #[test]
        fn orders_like_numbers(left in 1u128.., right in 1u128..) {
            prop_assert_eq!(
                version(&left.to_string()).cmp(&version(&right.to_string())),
                left.cmp(&right)
            );
        }

        #[test]
        fn counts_down_like_numbers(number in 1u128..) {
            let expected = Some(number - 1).filter(|before| *before > 0);
            let before = version(&number.to_string()).previous();
            prop_assert_eq!(before, expected.map(|number| version(&number.to_string())));
        }
    }
}

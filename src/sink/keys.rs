//! Keys that requests to a cloud are signed with, kept as long as they live.
//!
//! Invariant: keys that expire are renewed before they do, and again when the service refuses them. A renewal that
//! fails stops nobody while the old keys live.

use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Outcome;
use super::http::Redaction;

/// Keys as of now.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) id: String,
    pub(super) secret: String,
    pub(super) token: Option<String>,
    pub(super) expires: Option<Timestamp>,
}

/// Keys are renewed so long before they expire.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_mins(10);

/// Keys are waited for so long; a delivery has 30 seconds unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

impl Keys {
    /// Hides them in what a service says.
    pub(super) fn hide(&self, redaction: &mut Redaction) {
        redaction.hide(&self.id);
        redaction.hide(&self.secret);
        redaction.hide(self.token.as_deref().unwrap_or_default());
    }

    fn live_longer_than(&self, time: SignedDuration) -> bool {
        self.expires.is_none_or(|at| at.duration_since(Timestamp::now()) > time)
    }
}

/// The last keys that were had.
#[derive(Default)]
pub(super) struct KeptKeys(Option<Keys>);

impl KeptKeys {
    /// Keys that are valid for a while, from `fetch` where those that are kept are not.
    pub(super) async fn get(
        &mut self,
        fetch: impl Future<Output = Result<Keys, Outcome>>,
    ) -> Result<Keys, Outcome> {
        if let Some(keys) = self.0.as_ref().filter(|keys| keys.live_longer_than(RENEW_BEFORE)) {
            return Ok(keys.clone());
        }
        match in_time(fetch).await {
            Ok(keys) => {
                self.0 = Some(keys.clone());
                Ok(keys)
            }
            Err(outcome) => {
                let kept = self.0.clone();
                kept.filter(|keys| keys.live_longer_than(SignedDuration::ZERO)).ok_or(outcome)
            }
        }
    }

    /// The service has refused them.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }
}

/// A service that hangs must not use up the time of a delivery, for which the old keys may do.
async fn in_time(fetch: impl Future<Output = Result<Keys, Outcome>>) -> Result<Keys, Outcome> {
    let cause =
        || format!("there are no keys: nobody has answered for {} seconds", PATIENCE.as_secs());
    let fetched = tokio::time::timeout(PATIENCE, fetch).await;
    fetched.unwrap_or_else(|_| Err(Outcome::Retry { after: None, cause: cause() }))
}

/// The token of a service account, which its file always has anew: kubelet replaces it.
pub(super) fn identity_token(file: &Path, redaction: &mut Redaction) -> Result<String, Outcome> {
    let hold = |cause: String| {
        let cause = format!(
            "the token of the service account, {}: {cause}; is it mounted as a projected volume?",
            file.display()
        );
        Err(Outcome::Hold { cause })
    };
    let token = match std::fs::read_to_string(file) {
        Ok(token) => token.trim().to_owned(),
        Err(error) => return hold(error.to_string()),
    };
    if token.is_empty() {
        return hold("it is empty".to_owned());
    }
    redaction.hide(&token);
    // The parts of a JSON Web Token: head, claims and signature.
    token.split('.').for_each(|part| redaction.hide(part));
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(id: &str, minutes: i64) -> Keys {
        let expires = Some(Timestamp::now() + SignedDuration::from_mins(minutes));
        Keys { id: id.to_owned(), secret: "s".to_owned(), token: None, expires }
    }

    fn failure() -> Outcome {
        Outcome::Retry { after: None, cause: "nobody answers".to_owned() }
    }

    #[tokio::test]
    async fn keys_are_renewed_before_they_expire() {
        let mut kept = KeptKeys::default();
        // Nobody asks for the second ones.
        for fetched in ["1", "2"] {
            let kept = kept.get(async { Ok(keys(fetched, 60)) }).await;
            assert_eq!(kept.ok().map(|keys| keys.id).as_deref(), Some("1"));
        }
        kept.forget();
        assert_eq!(kept.get(async { Err(failure()) }).await.err(), Some(failure()));
        for (fetched, expected) in [
            (Ok(keys("3", 5)), Some("3")),
            (Ok(keys("4", 5)), Some("4")),
            // They live for five minutes.
            (Err(failure()), Some("4")),
            (Ok(keys("5", -1)), Some("5")),
            (Err(failure()), None),
        ] {
            let keys = kept.get(async { fetched }).await;
            assert_eq!(keys.ok().map(|keys| keys.id).as_deref(), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_hangs_is_not_waited_for() {
        let mut kept = KeptKeys::default();
        let nothing = kept.get(std::future::pending()).await.err();
        assert!(matches!(nothing, Some(Outcome::Retry { .. })), "{nothing:?}");
        assert!(kept.get(async { Ok(keys("1", 5)) }).await.is_ok());
        let old = kept.get(std::future::pending()).await.ok();
        assert_eq!(old.map(|keys| keys.id).as_deref(), Some("1"));
    }
}

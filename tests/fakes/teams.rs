//! Webhooks of Microsoft Teams, of both families.
//!
//! * A workflow: `POST /workflows/ID/triggers/manual/paths/invoke?...&sig=SIG`. It takes a message
//!   with one adaptive card or more, and answers 202 without a body: the flow is queued.
//! * A legacy connector: `POST /webhookb2/...`. It takes an adaptive card, too, or a
//!   `MessageCard`, and answers 200 with `1`. 200 with another text is a failure, whose status is
//!   in the text.
//!
//! Documented, and checked in this order:
//!
//! | check | workflow | connector |
//! |---|---|---|
//! | its path / its `sig` | 404 / 401 | 404 |
//! | 4 requests within a second | 429 | 429 in the text |
//! | the whole body has at most 28 KB | 413 | 413 in the text |
//! | JSON, and `Content-Type` says so; a message or card of the right structure | 400 | 400 |
//!
//! Every request counts against the limit. 28 KB are 28000 bytes here: who is fine with that is
//! fine with 28672, too.

use std::time::{Duration, Instant};

use axum::http::Method;
use jiff::Timestamp;

use super::chat::{Counts, Fake, Refused, Rules, Shown};
use super::schema::{object, says_json};
use super::service::{Call, Reply};
use super::teams_card::{adaptive, message_card};
use super::window::{Limiter, Rate};

/// The service.
pub type Teams = Fake<Hook>;

/// A hook.
#[derive(Clone, Debug)]
pub struct Hook {
    pub family: Family,
    /// Of the workflow, or the last part of a connector's path.
    pub id: String,
    /// The `sig` of a workflow.
    pub sig: String,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Family {
    Workflow,
    Connector,
}

impl Default for Hook {
    fn default() -> Self {
        let (id, sig) = ("643e69f83c8944438d68119179a10a64".into(), "teams-sig".into());
        Self { family: Family::Workflow, id, sig }
    }
}

impl Hook {
    /// A legacy one.
    pub fn connector() -> Self {
        Self { family: Family::Connector, ..Self::default() }
    }

    fn path_alone(&self) -> String {
        match self.family {
            Family::Workflow => format!("/workflows/{}/triggers/manual/paths/invoke", self.id),
            Family::Connector => {
                format!("/webhookb2/0e3b@72f9/IncomingWebhook/{}/3b8f", self.id)
            }
        }
    }

    /// An answer with this status: embedded in a success, if it is a connector's.
    fn refused(&self, status: u16, words: &str) -> Refused {
        if self.family == Family::Workflow {
            return Refused::text(status, words);
        }
        let failed =
            "Webhook message delivery failed with error: Microsoft Teams endpoint returned";
        let context = "with ContextId tcid=0,server=TEAMS,cv=fake..";
        let text = format!("{failed} HTTP error {status} {context}");
        Refused { reply: Reply::text(200, text), ..Refused::text(status, words) }
    }
}

impl Rules for Hook {
    const COUNTS: Counts = Counts::Requests;

    fn limiter() -> Limiter {
        Limiter::new(vec![Rate::new(4, Duration::from_secs(1))], Duration::ZERO)
    }

    fn path(&self) -> String {
        let path = self.path_alone();
        match self.family {
            Family::Connector => path,
            Family::Workflow => {
                let sp = "%2Ftriggers%2Fmanual%2Frun";
                format!("{path}?api-version=2016-06-01&sp={sp}&sv=1.0&sig={}", self.sig)
            }
        }
    }

    fn address(&self, call: &Call) -> Result<(), Refused> {
        Refused::unless_at(call, &Method::POST, &self.path_alone())?;
        if self.family == Family::Workflow && call.query("sig") != Some(&self.sig) {
            return Err(Refused::text(401, "the request is not authenticated"));
        }
        Ok(())
    }

    fn read(&self, call: &Call, _: Timestamp) -> Result<Shown, Refused> {
        if call.body.len() > 28_000 {
            return Err(self.refused(413, "message is larger than 28 KB"));
        }
        let bad = || Refused::text(400, "Bad payload received by generic incoming webhook.");
        let json = object(&call.body).filter(|_| says_json(call)).ok_or_else(bad)?;
        let shown = match self.family {
            Family::Workflow => adaptive(&json),
            Family::Connector => adaptive(&json).or_else(|| message_card(&json)),
        };
        shown.ok_or_else(bad)
    }

    fn too_fast(&self, _: Duration) -> Refused {
        self.refused(429, "too many requests")
    }

    fn failure(&self, code: i64, text: &str) -> Refused {
        self.refused(u16::try_from(code).expect("an HTTP status"), text)
    }

    fn deliver(
        &self,
        shown: Shown,
        _: &Call,
        _: &mut Limiter,
        _: Instant,
    ) -> (Reply, Option<Shown>) {
        let reply = match self.family {
            Family::Workflow => {
                Reply::Full { status: 202, headers: Vec::new(), body: String::new() }
            }
            Family::Connector => Reply::text(200, "1"),
        };
        (reply, Some(shown))
    }
}

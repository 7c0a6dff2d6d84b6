//! What an error of the server or of the driver means.
//!
//! Source of the codes: `src/mongo/base/error_codes.yml` of `MongoDB`'s sources. A code that is in no list is tried
//! again: nothing is discarded for it.

use mongodb::error::{Error, ErrorKind};

use crate::sink::Outcome;
use crate::sink::http::Redaction;

/// What is wrong with a document: `BadValue`, `TypeMismatch`, `InvalidBSON`, `DollarPrefixedFieldName`,
/// `DottedFieldName`, `DocumentValidationFailure`, `CannotIndexParallelArrays`, `BSONObjectTooLarge`, no geometry for
/// a 2dsphere index, `KeyTooLong`.
const REFUSES_DOCUMENT: [i64; 10] = [2, 14, 22, 52, 57, 121, 171, 10334, 16755, 17280];

/// The same for a command as a whole. Some of the above are then about the command, and no document is to blame.
const REFUSES_BATCH: [i64; 4] = [52, 121, 10334, 17280];

/// What became of a document that was not stored.
pub(super) fn of_document(code: i64, said: String) -> Outcome {
    if REFUSES_DOCUMENT.contains(&code) {
        return Outcome::Rejected { reason: said };
    }
    of_command(code, said)
}

/// What became of a batch when the command failed as a whole.
fn of_command(code: i64, said: String) -> Outcome {
    let hold = |remedy: &str| Outcome::Hold { cause: format!("{said}; {remedy}") };
    match code {
        code if REFUSES_BATCH.contains(&code) => Outcome::Rejected { reason: said },
        13 | 8000 => {
            hold("allow the user to insert into the collection: role readWrite on its database")
        }
        18 => hold("check user, password and authSource in the option `uri`"),
        26 | 73 | 166 => hold("name another place in the options `database` and `collection`"),
        // A command it does not know, or not like this; writes that it cannot confirm.
        2 | 9 | 20 | 59 | 72 | 40415 => hold(
            "the server has to take inserts with the write concern {w: majority, j: true}: \
             MongoDB 4.4 or newer with a journal does; check the option `uri`",
        ),
        _ => Outcome::Retry { after: None, cause: said },
    }
}

/// What became of a batch that brought no answer about its documents.
pub(super) fn outcome(error: &Error, redaction: &Redaction) -> Outcome {
    let said = redaction.explain(&error.kind.to_string());
    let hold = |remedy: &str| Outcome::Hold { cause: format!("{said}; {remedy}") };
    match &*error.kind {
        ErrorKind::Command(command) => of_command(command.code.into(), said),
        ErrorKind::Authentication { .. } => {
            hold("check user, password and authSource in the option `uri`")
        }
        ErrorKind::InvalidArgument { .. } => hold("check the option `uri`"),
        ErrorKind::InvalidTlsConfig { .. } => {
            hold("check the option `ca` and the files that `uri` names")
        }
        ErrorKind::IncompatibleServer { .. } => hold("MongoDB 4.4 or newer is needed"),
        _ => Outcome::Retry { after: None, cause: said },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(outcome: &Outcome) -> &'static str {
        match outcome {
            Outcome::Accepted => "accepted",
            Outcome::Rejected { .. } => "rejected",
            Outcome::Retry { .. } => "retry",
            Outcome::Hold { .. } => "hold",
        }
    }

    #[test]
    fn every_code_has_its_class() {
        // Retryable writes, conflicts, time-outs, a full disk, and a code nobody knows.
        let transient = [
            11600, 11602, 10107, 13435, 13436, 189, 91, 7, 6, 89, 9001, 262, 112, 50, 24, 14031,
            64, 99999,
        ];
        for code in transient {
            assert_eq!(class(&of_document(code, String::new())), "retry", "{code}");
            assert_eq!(class(&of_command(code, String::new())), "retry", "{code}");
        }
        for code in [13, 18, 8000, 73, 26, 20, 59, 166] {
            assert_eq!(class(&of_document(code, String::new())), "hold", "{code}");
            assert_eq!(class(&of_command(code, String::new())), "hold", "{code}");
        }
        for code in REFUSES_DOCUMENT {
            assert_eq!(class(&of_document(code, String::new())), "rejected", "{code}");
        }
    }

    #[test]
    fn a_command_that_is_wrong_blames_no_document() {
        // `cannot use 'j' option when a host does not have journaling enabled` has the code of a bad value.
        for code in [2, 9, 72] {
            assert_eq!(class(&of_command(code, String::new())), "hold", "{code}");
        }
        for code in [121, 10334, 17280, 52] {
            assert_eq!(class(&of_command(code, String::new())), "rejected", "{code}");
        }
    }

    #[test]
    fn what_the_driver_says_has_its_class() {
        let io: Error = std::io::Error::from(std::io::ErrorKind::ConnectionReset).into();
        assert_eq!(class(&outcome(&io, &Redaction::default())), "retry");
        let error =
            mongodb::options::ConnectionString::parse("mongodb://h/?w=-1").expect_err("refused");
        let outcome = outcome(&error, &Redaction::default());
        assert!(
            matches!(&outcome, Outcome::Hold { cause } if cause.contains("check the option `uri`"))
        );
    }
}

//! Many portions as one change.

use std::collections::HashMap;

use crate::cli::exit::Failure;
use crate::cli::output;
use crate::relay::{LetterChange, LetterOutcome, LetterSelection};

/// Names that one request takes.
const NAMES_MAX: usize = 100;

/// Makes a change portion by portion until all that is selected is done, or it has to stop. `progress` is told
/// how many letters are done.
pub(super) fn all(
    selection: &LetterSelection,
    make: impl Fn(&LetterSelection) -> Result<LetterChange, Failure>,
    mut progress: impl FnMut(usize),
) -> Result<LetterChange, Failure> {
    let mut sum: Option<LetterChange> = None;
    'all: for chunk in chunks(selection) {
        let mut rest = chunk;
        loop {
            let portion = make(&rest)?;
            rest.after.clone_from(&portion.next);
            rest.as_of = Some(portion.as_of);
            let stopped = portion.stopped.is_some();
            let sum = add(&mut sum, portion);
            progress(sum.letters.len());
            if stopped {
                break 'all;
            }
            if rest.after.is_none() {
                break;
            }
        }
    }
    let mut sum = sum.ok_or_else(|| Failure::Usage("name letters, or use --all".to_owned()))?;
    sum.change.effect = effect(&sum);
    Ok(sum)
}

fn chunks(selection: &LetterSelection) -> Vec<LetterSelection> {
    if selection.ids.is_empty() {
        return vec![selection.clone()];
    }
    let chunks = selection.ids.chunks(NAMES_MAX);
    chunks.map(|ids| LetterSelection { ids: ids.to_vec(), ..selection.clone() }).collect()
}

fn add(sum: &mut Option<LetterChange>, portion: LetterChange) -> &mut LetterChange {
    match sum {
        Some(sum) => {
            sum.change.after = portion.change.after;
            sum.letters.extend(portion.letters);
            (sum.next, sum.stopped) = (portion.next, portion.stopped);
            sum
        }
        None => sum.insert(portion),
    }
}

/// What came of all portions.
fn effect(sum: &LetterChange) -> String {
    let mut counts: HashMap<LetterOutcome, u64> = HashMap::new();
    for letter in &sum.letters {
        *counts.entry(letter.outcome).or_default() += 1;
    }
    let count = |outcome| counts.get(&outcome).copied().unwrap_or_default();
    let are = |count: u64| {
        let verb = if count == 1 { "is" } else { "are" };
        format!("{} {verb}", output::plural(count, "letter"))
    };
    let (accepted, refused) = (count(LetterOutcome::Accepted), count(LetterOutcome::Refused));
    match (count(LetterOutcome::Selected), count(LetterOutcome::Discarded)) {
        (0, 0) if accepted + refused == 0 => "nothing changes".to_owned(),
        (0, 0) => {
            let taken = output::plural(accepted, "letter");
            format!(
                "{taken} taken by the sink and removed, {} refused again",
                output::count(refused)
            )
        }
        (0, discarded) => format!("{} removed for good", are(discarded)),
        (selected, _) => format!("{} handed to the sink again", are(selected)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::{Change, LetterResult};

    fn portion(versions: &[u64], outcome: LetterOutcome, next: Option<u64>) -> LetterChange {
        let id = |version: &u64| format!("all-namespaces/0.{version}").parse().expect("a name");
        let result = |version| LetterResult { id: id(version), outcome, reply: None };
        LetterChange {
            change: Change {
                action: "dead-letter retry".into(),
                subject: "oncall".into(),
                before: format!("before {}", versions[0]),
                after: format!("after {}", versions[0]),
                effect: String::new(),
                dry_run: false,
            },
            letters: versions.iter().map(result).collect(),
            next: next.as_ref().map(id),
            as_of: jiff::Timestamp::UNIX_EPOCH,
            stopped: None,
        }
    }

    #[test]
    fn portions_follow_each_other_and_are_summed_up() {
        let selection = LetterSelection { all: true, ..LetterSelection::default() };
        let make = |selection: &LetterSelection| {
            Ok(match selection.after.as_ref().map(ToString::to_string).as_deref() {
                None => portion(&[1, 2], LetterOutcome::Accepted, Some(2)),
                Some("all-namespaces/0.2") => {
                    assert_eq!(selection.as_of, Some(jiff::Timestamp::UNIX_EPOCH));
                    portion(&[3], LetterOutcome::Refused, None)
                }
                other => panic!("{other:?}"),
            })
        };
        let mut seen = Vec::new();
        let sum = all(&selection, make, |done| seen.push(done)).expect("done");
        assert_eq!(seen, [2, 3]);
        assert_eq!(
            (sum.change.before.as_str(), sum.change.after.as_str()),
            ("before 1", "after 3")
        );
        assert_eq!(sum.change.effect, "2 letters taken by the sink and removed, 1 refused again");
    }

    #[test]
    fn it_stops_where_the_relay_did() {
        let selection = LetterSelection { all: true, ..LetterSelection::default() };
        let make = |_: &LetterSelection| {
            let stopped = Some("not now: busy".to_owned());
            Ok(LetterChange { stopped, ..portion(&[1], LetterOutcome::Accepted, Some(1)) })
        };
        let sum = all(&selection, make, |_| {}).expect("an answer");
        assert_eq!((sum.letters.len(), sum.stopped.as_deref()), (1, Some("not now: busy")));
    }

    #[test]
    fn many_names_are_asked_for_in_turn() {
        let ids: Vec<_> = (0..250).map(|version: u64| version.to_string()).collect();
        let selection = LetterSelection { ids, ..LetterSelection::default() };
        let make = |selection: &LetterSelection| {
            assert!(selection.ids.len() <= NAMES_MAX);
            Ok(portion(&[7], LetterOutcome::Discarded, None))
        };
        let sum = all(&selection, make, |_| {}).expect("done");
        assert_eq!(sum.change.effect, "3 letters are removed for good");
    }
}

//! What goes into one message.
//!
//! Invariant: a composed message fits, and it names each of its records. It has as many of the records
//! as fit, in order from the first, and as much of what they say as there is room for.

use super::{Message, Service};
use crate::event::render::{Digest, Notice};

/// A message with how many records are in it.
#[derive(Debug)]
pub(super) struct Composed {
    pub(super) message: Message,
    pub(super) records: usize,
}

/// Bytes of what each event says that are tried in a digest, one after the other.
const DETAILS: [usize; 8] = [usize::MAX, 4_000, 1_500, 600, 300, 150, 80, LEAST_DETAIL];

/// With less a line says hardly more than its reason.
const LEAST_DETAIL: usize = 40;

/// Longest name in a message about an event whose names alone do not fit. Those of Kubernetes have 253
/// bytes at most; other writers of events may do what they like.
const SHORT_NAME: usize = 80;

/// Composes a message of at most `limit` bytes from the first of these records, at least one.
pub(super) fn compose<S: Service>(service: &S, notices: &[Notice], limit: usize) -> Composed {
    let fits = |message: &Message| service.size(message) <= limit;
    if let [notice] = notices {
        return Composed { message: single(service, notice, &fits), records: 1 };
    }
    let all = Digest::of(notices);
    for detail in DETAILS {
        let message = service.digest(&all, detail);
        if fits(&message) {
            return Composed { message, records: notices.len() };
        }
    }
    let front = |records: usize| service.digest(&Digest::of(&notices[..records]), LEAST_DETAIL);
    let mut records = largest(1, notices.len() - 1, |records| fits(&front(records)));
    // More records can make a shorter text, by a newer message of the same group.
    while records > 1 && !fits(&front(records)) {
        records -= 1;
    }
    match notices.first() {
        Some(notice) if records <= 1 => {
            Composed { message: single(service, notice, &fits), records: 1 }
        }
        _ => Composed { message: front(records), records },
    }
}

fn single<S: Service>(service: &S, notice: &Notice, fits: &dyn Fn(&Message) -> bool) -> Message {
    let whole = service.single(notice, usize::MAX);
    if fits(&whole) {
        return whole;
    }
    let short = notice.with_short_names(SHORT_NAME);
    let notice = if fits(&service.single(notice, 0)) { notice } else { &short };
    let longest = largest(0, notice.message.len(), |bytes| fits(&service.single(notice, bytes)));
    service.single(notice, longest)
}

/// The largest number between two for which something holds that holds for all smaller ones; the
/// smallest when it holds for none.
fn largest(smallest: usize, largest: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (smallest, largest);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if holds(middle) { low = middle } else { high = middle - 1 }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::chat::testing::{Plain, notice};
    use proptest::prelude::*;

    fn storm(records: usize, things: usize, message: usize) -> Vec<Notice> {
        let one = |number: usize| {
            notice(&format!("web-{}", number % things), "BackOff", &"é".repeat(message))
        };
        (0..records).map(one).collect()
    }

    #[test]
    fn one_event_is_cut_to_what_fits() {
        let composed = compose(&Plain, &[notice("web", "BackOff", &"é".repeat(5_000))], 400);
        assert!(composed.message.text.contains("é…"));
        assert!((390..=400).contains(&Plain.size(&composed.message)));
        let odd = notice(&"x".repeat(100_000), "BackOff", "why");
        assert!(Plain.size(&compose(&Plain, &[odd], 400).message) <= 400);
    }

    #[test]
    fn a_storm_about_few_things_says_more_than_one_about_many() {
        let few = compose(&Plain, &storm(900, 3, 2_000), 4_096);
        assert_eq!(few.records, 900);
        assert!(few.message.text.contains("×300") && few.message.text.contains(&"é".repeat(200)));
        let many = compose(&Plain, &storm(900, 900, 2_000), 4_096);
        assert!((10..900).contains(&many.records), "{}", many.records);
        let lines = many.message.text.matches("web-").count();
        assert_eq!(lines, many.records, "each is named");
    }

    proptest! {
        #[test]
        fn every_message_fits_and_every_record_of_it_is_named(
            records in 1usize..60, things in 1usize..20, message in 0usize..400, limit in 400usize..5_000,
        ) {
            let storm = storm(records, things, message);
            let mut rest = storm.as_slice();
            while !rest.is_empty() {
                let composed = compose(&Plain, rest, limit);
                prop_assert!(Plain.size(&composed.message) <= limit);
                let (named, later) = rest.split_at(composed.records);
                prop_assert!(!named.is_empty());
                for notice in named {
                    let name = notice.object();
                    let text = format!("{} {}", composed.message.title, composed.message.text);
                    prop_assert!(text.contains(&name), "{} in {}", name, text);
                }
                rest = later;
            }
        }
    }
}

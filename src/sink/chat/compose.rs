//! What goes into one message.
//!
//! Invariant: a composed message fits, and it names each of its records. It has as many groups of equal
//! records as fit, the severest first, and as much of what they say as there is room for.

use super::{Message, Service, template};
use crate::event::render::{Digest, Notice, cut};

/// A message, with the places of the records that are in it.
#[derive(Debug)]
pub(super) struct Composed {
    pub(super) message: Message,
    pub(super) records: Vec<usize>,
}

/// Bytes of what each event says that are tried in a digest, one after the other.
const DETAILS: [usize; 8] = [usize::MAX, 4_000, 1_500, 600, 300, 150, 80, LEAST_DETAIL];

/// With less a line says hardly more than its reason.
const LEAST_DETAIL: usize = 40;

/// Longest name in a message about an event whose names alone do not fit. Those of Kubernetes have 253
/// bytes at most; other writers of events may do what they like.
const SHORT_NAME: usize = 80;

/// Composes a message of at most `limit` bytes from these records, of at least one of them.
pub(super) fn compose<S: Service>(service: &S, notices: &[Notice], limit: usize) -> Composed {
    let (message, records) = lay_out(service, notices, limit);
    Composed { message: service.complete(message), records }
}

/// The message before it is complete, and the places of its records.
fn lay_out<S: Service>(service: &S, notices: &[Notice], limit: usize) -> (Message, Vec<usize>) {
    let fits = |message: &Message| service.size(&service.complete(message.clone())) <= limit;
    let alone = |place: usize| (single(service, &notices[place], &fits), vec![place]);
    if let [Notice { records: 1, .. }] = notices {
        return alone(0);
    }
    let all = Digest::of(notices);
    for detail in DETAILS {
        let message = template::digest(service, &all, detail);
        if fits(&message) {
            return (message, all.members());
        }
    }
    let front = |groups: usize| template::digest(service, &all.front(groups), LEAST_DETAIL);
    let groups = largest(1, all.groups.len(), |groups| fits(&front(groups)));
    let (message, part) = (front(groups), all.front(groups));
    if fits(&message) {
        return (message, part.members());
    }
    // Not even one line: its record is cut to what fits.
    alone(part.members()[0])
}

fn single<S: Service>(service: &S, notice: &Notice, fits: &dyn Fn(&Message) -> bool) -> Message {
    let message = |notice: &Notice, limit: usize| template::single(service, notice, limit);
    let whole = message(notice, usize::MAX);
    if fits(&whole) {
        return whole;
    }
    let short = notice.with_short_names(SHORT_NAME);
    let notice = if fits(&message(notice, 0)) { notice } else { &short };
    let longest = largest(0, notice.message.len(), |bytes| fits(&message(notice, bytes)));
    cut_to_fit(message(notice, longest), fits)
}

/// The front of a message that is too long whatever the event says, which only a template can make.
fn cut_to_fit(message: Message, fits: &dyn Fn(&Message) -> bool) -> Message {
    if fits(&message) {
        return message;
    }
    let front = |bytes| Message { text: cut(&message.text, bytes).into_owned(), ..message.clone() };
    front(largest(0, message.text.len(), |bytes| fits(&front(bytes))))
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
        let composed =
            compose(&Plain::default(), &[notice("web", "BackOff", &"é".repeat(5_000))], 400);
        assert!(composed.message.text.contains("é…"));
        assert!((390..=400).contains(&Plain::default().size(&composed.message)));
        let odd = notice(&"x".repeat(100_000), "BackOff", "why");
        assert!(Plain::default().size(&compose(&Plain::default(), &[odd], 400).message) <= 400);
    }

    #[test]
    fn a_storm_about_few_things_says_more_than_one_about_many() {
        let few = compose(&Plain::default(), &storm(900, 3, 2_000), 4_096);
        assert_eq!(few.records.len(), 900);
        assert!(few.message.text.contains("×300") && few.message.text.contains(&"é".repeat(200)));
        let many = compose(&Plain::default(), &storm(900, 900, 2_000), 4_096);
        let lines = many.message.text.matches("web-").count();
        assert!((10..900).contains(&lines), "{lines}");
        assert_eq!(lines, many.records.len(), "each is named");
    }

    proptest! {
        #[test]
        fn every_message_fits_and_every_record_of_it_is_named(
            records in 1usize..60, things in 1usize..20, message in 0usize..400, limit in 400usize..5_000,
        ) {
            let storm = storm(records, things, message);
            let mut rest = storm;
            while !rest.is_empty() {
                let composed = compose(&Plain::default(), &rest, limit);
                prop_assert!(Plain::default().size(&composed.message) <= limit);
                prop_assert!(!composed.records.is_empty() && composed.records.is_sorted());
                for place in composed.records.iter().rev() {
                    let name = rest.remove(*place).object();
                    let text = format!("{} {}", composed.message.title, composed.message.text);
                    prop_assert!(text.contains(&name), "{} in {}", name, text);
                }
            }
        }
    }
}

//! Many events in one message.
//!
//! Invariant: every record is counted in exactly one line, and its line names its object and reason.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Markup, Moment, Notice, cut, on_one_line};

/// Records about the same thing: equal namespace, kind, name and reason.
#[derive(Debug, Clone)]
pub struct Group<'a> {
    /// The newest of them, whose message is shown.
    pub newest: &'a Notice,
    /// Their places among what the digest was made of, in order.
    pub members: Vec<usize>,
    /// How many records they stand for.
    pub records: u64,
    /// When the first of them happened.
    pub first: Timestamp,
    /// When the last of them happened.
    pub last: Timestamp,
}

/// Records in groups, the severest first.
#[derive(Debug, Clone)]
pub struct Digest<'a> {
    /// The groups, in order.
    pub groups: Vec<Group<'a>>,
}

impl<'a> Digest<'a> {
    /// Groups records, which come in the order of the log.
    #[must_use]
    pub fn of(notices: &'a [Notice]) -> Self {
        let mut groups: Vec<Group<'a>> = Vec::new();
        let mut known: HashMap<[&str; 4], usize> = HashMap::new();
        for (place, notice) in notices.iter().enumerate() {
            let key = [&*notice.namespace, &*notice.kind, &*notice.name, &*notice.reason];
            let index = *known.entry(key).or_insert(groups.len());
            match groups.get_mut(index) {
                Some(group) => group.take(place, notice),
                None => groups.push(Group::begin(place, notice)),
            }
        }
        groups.sort_by_key(Group::rank);
        Self { groups }
    }

    /// The first groups of it.
    #[must_use]
    pub fn front(&self, groups: usize) -> Self {
        Self { groups: self.groups[..groups.min(self.groups.len())].to_vec() }
    }

    /// The places of its records, in order.
    #[must_use]
    pub fn members(&self) -> Vec<usize> {
        let mut members: Vec<_> =
            self.groups.iter().flat_map(|group| group.members.iter().copied()).collect();
        members.sort_unstable();
        members
    }

    /// The headline, unmarked: what a phone shows.
    #[must_use]
    pub fn title(&self) -> String {
        let records: u64 = self.groups.iter().map(|group| group.records).sum();
        let groups = self.groups.len();
        let warnings = self.groups.iter().filter(|group| group.newest.level == "Warning").count();
        let about = if groups == 1 { "thing" } else { "things" };
        let warnings = match warnings {
            0 => String::new(),
            _ if warnings == groups => ", all warnings".to_owned(),
            _ => format!(", {warnings} of them warnings"),
        };
        let events = if records == 1 { "event" } else { "events" };
        format!("{records} {events} about {groups} {about}{warnings}")
    }

    /// A line for each group, with at most so many bytes of its newest message.
    #[must_use]
    pub fn text(&self, markup: &Markup, message_limit: usize, zone: &TimeZone) -> String {
        let latest = self.groups.iter().map(|group| group.last).max().unwrap_or_default();
        let day = Moment::new(Some(latest), zone).format("2006-01-02 -0700");
        let lines = self.groups.iter().map(|group| group.line(markup, message_limit, zone, &day));
        let lines: Vec<_> = std::iter::once(day.clone()).chain(lines).collect();
        lines.join(markup.paragraph)
    }
}

impl<'a> Group<'a> {
    fn begin(place: usize, notice: &'a Notice) -> Self {
        Self {
            newest: notice,
            members: vec![place],
            records: notice.records,
            first: notice.since,
            last: notice.seen,
        }
    }

    fn take(&mut self, place: usize, notice: &'a Notice) {
        self.members.push(place);
        self.records += notice.records;
        self.first = self.first.min(notice.since);
        self.last = self.last.max(notice.seen);
        self.newest = notice;
    }

    /// Warnings, then what is unknown, then the rest; of equals what came first.
    fn rank(&self) -> (u8, Timestamp) {
        let severity = match self.newest.level.as_str() {
            "Warning" => 0,
            "Normal" => 2,
            _ => 1,
        };
        (severity, self.first)
    }

    fn line(&self, markup: &Markup, limit: usize, zone: &TimeZone, day: &str) -> String {
        let Notice { level, reason, message, .. } = self.newest;
        let mark = if level == "Normal" { String::new() } else { markup.strong(level) + " " };
        let object = (markup.escape)(&self.newest.object()).into_owned();
        let (reason, times) = (markup.strong(reason), self.times(zone, day));
        let head = format!("{mark}{object} {reason} ×{} {times}", self.records);
        let message = on_one_line(message);
        let message = cut(&message, limit);
        if message.is_empty() {
            return head;
        }
        format!("{head}{}{}", markup.under, (markup.escape)(&message))
    }

    /// `10:00:05` or `10:00:05–10:03:00`, with the day where it is not that of the whole digest.
    fn times(&self, zone: &TimeZone, day: &str) -> String {
        let show = |at| {
            let moment = Moment::new(Some(at), zone);
            let same_day = moment.format("2006-01-02 -0700") == day;
            moment.format(if same_day { "15:04:05" } else { "01-02 15:04:05" })
        };
        let (first, last) = (show(self.first), show(self.last));
        if first == last { first } else { format!("{first}–{last}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Generation, Header, Position, Record, StreamId};
    use serde_json::json;

    fn notice(level: &str, name: &str, reason: &str, time: &str, message: &str) -> Notice {
        let body = json!({
            "metadata": {"name": format!("{name}.17a3"), "namespace": "shop"},
            "involvedObject": {"kind": "Pod", "namespace": "shop", "name": name},
            "reason": reason, "message": message, "type": level, "lastTimestamp": time,
        });
        Notice::of(&Record {
            stream: StreamId::all_namespaces(),
            position: Position::new(Generation(0), "1".parse().expect("a version")),
            received_at: Timestamp::UNIX_EPOCH,
            header: Header::default(),
            body: body.to_string().into(),
        })
    }

    fn storm() -> Vec<Notice> {
        vec![
            notice("Normal", "web-1", "Pulled", "2024-05-01T02:00:00Z", "Successfully pulled"),
            notice("Warning", "web-1", "BackOff", "2024-05-01T02:00:05Z", "first try"),
            notice("Warning", "db-0", "Unhealthy", "2024-04-30T02:00:05Z", "probe\nfailed: 503"),
            notice("Warning", "web-1", "BackOff", "2024-05-01T02:03:00Z", "last try"),
        ]
    }

    #[test]
    fn equal_things_are_one_line_and_the_severest_come_first() {
        let storm = storm();
        let digest = Digest::of(&storm);
        assert_eq!(digest.title(), "4 events about 3 things, 2 of them warnings");
        let zone = TimeZone::get("Asia/Shanghai").expect("a zone");
        let expected = "2024-05-01 +0800\n\
            Warning shop/Pod/db-0 Unhealthy ×1 04-30 10:00:05\n  probe failed: 503\n\
            Warning shop/Pod/web-1 BackOff ×2 10:00:05–10:03:00\n  last try\n\
            shop/Pod/web-1 Pulled ×1 10:00:00\n  Successfully pulled";
        assert_eq!(digest.text(&Markup::PLAIN, usize::MAX, &zone), expected);
        let shown = format!("```text\n{}\n{expected}\n```", digest.title());
        assert!(include_str!("../../../docs/configuration.md").contains(&shown), "{shown}");
    }

    #[test]
    fn messages_make_room_and_names_never_do() {
        let storm = storm();
        let text = Digest::of(&storm).text(&Markup::PLAIN, 0, &TimeZone::UTC);
        assert!(!text.contains("try"), "{text}");
        for named in ["shop/Pod/db-0 Unhealthy ×1", "web-1 BackOff ×2", "web-1 Pulled ×1"] {
            assert!(text.contains(named), "{text}");
        }
    }
}

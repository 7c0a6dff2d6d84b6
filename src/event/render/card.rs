//! One event alone.

use jiff::tz::TimeZone;

use super::{Markup, Moment, Notice, cut};

/// Renders one event for a service that has no form of its own to be kept.
#[derive(Debug, Clone, Copy)]
pub struct Card<'a> {
    /// The event.
    pub notice: &'a Notice,
    /// Lines that stand above it, such as the name of the cluster.
    pub labels: &'a [String],
    /// How the service marks text.
    pub markup: &'a Markup,
    /// Where the reader is.
    pub zone: &'a TimeZone,
}

impl Card<'_> {
    /// The headline, unmarked: what a phone shows.
    #[must_use]
    pub fn title(&self) -> String {
        let Notice { level, reason, .. } = self.notice;
        format!("{level} {reason}: {}", self.notice.object()).trim_start().to_owned()
    }

    /// Everything below the headline, with at most so many bytes of the message.
    #[must_use]
    pub fn text(&self, message_limit: usize) -> String {
        let Notice { message, node, component, count, seen, .. } = self.notice;
        let escape = self.markup.escape;
        let mut lines: Vec<String> =
            self.labels.iter().map(|label| self.markup.strong(label)).collect();
        let message = cut(message.trim(), message_limit);
        if !message.is_empty() {
            lines.push(self.markup.text(&message));
        }
        let time = Moment::new(Some(*seen), self.zone).format("2006-01-02 15:04:05 MST");
        let times = if *count > 1 { format!(" ×{count}") } else { String::new() };
        lines.push(format!("{time}{times}"));
        let from = [component.as_str(), node.as_str()];
        let from: Vec<_> = from.into_iter().filter(|part| !part.is_empty()).collect();
        if !from.is_empty() {
            lines.push(escape(&from.join(", ")).into_owned());
        }
        lines.join(self.markup.line)
    }
}

//! Slack's mrkdwn, as far as it decides what people read and who is called.

use super::chat::Mentions;

/// A text as people see it. Formatting characters stay.
#[derive(Debug, Default, PartialEq)]
pub struct Mrkdwn {
    pub text: String,
    pub mentions: Mentions,
}

impl Mrkdwn {
    pub fn read(source: &str) -> Self {
        let mut read = Self::default();
        let mut rest = source;
        while let Some((before, after)) = rest.split_once('<') {
            let Some((inside, behind)) = after.split_once('>') else { break };
            read.text.push_str(&unescaped(before));
            read.angle(inside);
            rest = behind;
        }
        read.text.push_str(&unescaped(rest));
        read
    }

    /// What `<...>` stands for: a mention, or a link with or without a label.
    fn angle(&mut self, inside: &str) {
        let (target, label) = match inside.split_once('|') {
            Some((target, label)) => (target, Some(label)),
            None => (inside, None),
        };
        if ["!channel", "!here", "!everyone"].contains(&target) {
            self.mentions.everyone = true;
            self.text.push_str(&target.replace('!', "@"));
        } else if let Some(member) = target.strip_prefix('@') {
            self.mentions.members.push(member.to_owned());
            self.text.push_str(target);
        } else {
            self.text.push_str(&unescaped(label.unwrap_or(target)));
        }
    }
}

/// The three characters that mrkdwn escapes, each of them once.
fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

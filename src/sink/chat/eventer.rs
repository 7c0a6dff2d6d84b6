//! Messages as kube-eventer writes them, byte by byte (`sinks/dingtalk`, `sinks/wechat`).
//!
//! Three things are better here: text that a terminal would obey is left out, a `%` in a label is no
//! format, and a message that is too long is cut instead of refused.

use std::fmt::Write;

use jiff::tz::TimeZone;

use crate::event::render::{Moment, Notice, cut};

/// How the time of an event is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    /// Date and time of day.
    DateTime,
    /// What Go's `time.Time.String` gives.
    GoString,
}

/// Where the console of Alibaba Cloud shows a cluster.
#[derive(Debug, Clone, Default)]
pub(super) struct Console {
    pub(super) cluster: String,
    pub(super) region: String,
}

const CONSOLE: &str = "https://cs.console.aliyun.com/#/k8s";
const HOSTS: &str = "https://ecs.console.aliyun.com/#/server";

impl Clock {
    fn show(self, notice: &Notice, zone: &TimeZone) -> String {
        let moment = Moment::new(Some(notice.at), zone);
        match self {
            Self::DateTime => moment.format("2006-01-02 15:04:05"),
            Self::GoString => moment.text(),
        }
    }
}

/// The plain text. Labels come out in reverse order, as kube-eventer puts each in front of the others.
pub(super) fn text(
    notice: &Notice,
    labels: &[String],
    clock: Clock,
    zone: &TimeZone,
    message_limit: usize,
) -> String {
    let mut text = labels.iter().rev().fold(String::new(), |text, label| text + label + "\n");
    let time = clock.show(notice, zone);
    let fields = [
        ("Level", &*notice.level),
        ("Kind", &*notice.kind),
        ("Namespace", &*notice.event_namespace),
        ("Name", &*notice.event_name),
        ("Reason", &*notice.reason),
        ("Timestamp", &*time),
        ("Message", &*cut(&notice.message, message_limit)),
    ];
    let lines: Vec<_> = fields.iter().map(|(name, value)| format!("{name}:{value}")).collect();
    text.push_str(&lines.join(" \n"));
    text
}

/// The title of the markdown.
pub(super) fn title(console: &Console) -> String {
    format!("Kubernetes(ID:{}) Event", console.cluster)
}

/// The markdown, with links into the console of Alibaba Cloud.
pub(super) fn markdown(
    notice: &Notice,
    labels: &[String],
    console: &Console,
    zone: &TimeZone,
    message_limit: usize,
) -> String {
    let labels = labels.iter().enumerate().filter(|(_, label)| !label.is_empty());
    let labels = labels.map(|(index, label)| format!("label[{index}]: **{label}**"));
    let node = (!notice.node.is_empty()).then(|| format!("Node: {} ", node(&notice.node)));
    let fields = [
        format!("Level: **{}** ", notice.level),
        format!("Kind: **{}** ", notice.kind),
        format!("Namespace: [{}]({CONSOLE}/namespace) ", notice.event_namespace),
        format!("Name: {} ", name(notice, console)),
        format!("Reason: **{}** ", notice.reason),
        format!("Timestamp: **{}** ", Clock::GoString.show(notice, zone)),
        format!("Message: **{}** ", cut(&notice.message, message_limit)),
    ];
    labels.chain(node).chain(fields).collect::<Vec<_>>().join("\n\n")
}

/// A node named `REGION.ADDRESS…` is linked to its server.
fn node(host: &str) -> String {
    let mut parts = host.split('.');
    match (parts.next(), parts.next()) {
        (Some(region), Some(server)) => {
            format!("[{host}]({HOSTS}/{server}/detail?regionId={region})")
        }
        _ => format!("**{host}**"),
    }
}

/// The name of the event, linked to the object of its first part.
fn name(notice: &Notice, console: &Console) -> String {
    let (event, namespace) = (&notice.event_name, &notice.event_namespace);
    let target = event.split('.').next().unwrap_or_default();
    let Console { cluster, region } = console;
    let place = format!("{region}/{cluster}/{namespace}/{target}");
    let path = match notice.kind.as_str() {
        "Deployment" => format!("deployment/detail/{place}/pods"),
        "StatefulSet" => format!("statefulset/detail/{place}/pods"),
        "DaemonSet" => format!("daemonset/detail/{place}/pods"),
        "Pod" => format!("pod/{place}/container"),
        "CronJob" => format!("cronjob/detail/{place}/jobs"),
        "Service" => format!("service/detail/{place}"),
        _ => return event.clone(),
    };
    format!("[{event}]({CONSOLE}/{path})")
}

/// JSON as Go's encoder writes it: `<`, `>` and `&` cannot be taken for markup of a web page.
pub(in crate::sink) fn go_json(json: &str) -> String {
    // Outside of texts JSON has none of these characters. Bytes are looked at, since most texts have none: 0xe2
    // begins the last two, among others.
    let is_special = |byte: u8| matches!(byte, b'<' | b'>' | b'&' | 0xe2);
    let mut escaped = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.bytes().position(is_special) {
        let (plain, special) = rest.split_at(at);
        escaped.push_str(plain);
        let mut characters = special.chars();
        match characters.next() {
            Some(character @ ('<' | '>' | '&' | '\u{2028}' | '\u{2029}')) => {
                // Writing to a String cannot fail.
                let _written = write!(escaped, "\\u{:04x}", u32::from(character));
            }
            other => escaped.extend(other),
        }
        rest = characters.as_str();
    }
    escaped.push_str(rest);
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::chat::testing::notice;

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).expect("a zone")
    }

    #[test]
    fn go_escapes_what_could_be_markup() {
        let json = "\"a<b>&é€…🤒\u{2028}x\u{2029}\"";
        assert_eq!(go_json(json), r#""a\u003cb\u003e\u0026é€…🤒\u2028x\u2029""#);
        assert_eq!(go_json(""), "");
    }

    #[test]
    fn text_is_that_of_kube_eventer() {
        let notice = notice("web", "BackOff", "Back-off \"restarting\"\nfailed");
        let labels = ["prod".to_owned(), "100%s".to_owned()];
        let shanghai = zone("Asia/Shanghai");
        assert_eq!(
            text(&notice, &labels, Clock::DateTime, &shanghai, usize::MAX),
            "100%s\nprod\nLevel:Warning \nKind:Pod \nNamespace:shop \nName:web.17a3 \n\
             Reason:BackOff \nTimestamp:2024-05-01 10:00:00 \n\
             Message:Back-off \"restarting\"\nfailed"
        );
        let go = text(&notice, &[], Clock::GoString, &zone("America/New_York"), 8);
        assert!(go.contains("\nTimestamp:2024-04-30 22:00:00 -0400 EDT \n"), "{go}");
        assert!(go.ends_with("\nMessage:Back-…"), "{go}");
    }

    #[test]
    fn markdown_is_that_of_kube_eventer() {
        let console = Console { cluster: "c1".to_owned(), region: "cn-hangzhou".to_owned() };
        let labels = ["prod".to_owned(), String::new(), "x".to_owned()];
        let notice = notice("web", "BackOff", "Back-off");
        let text = markdown(&notice, &labels, &console, &zone("Asia/Shanghai"), usize::MAX);
        assert_eq!(title(&console), "Kubernetes(ID:c1) Event");
        assert_eq!(
            text,
            "label[0]: **prod**\n\nlabel[2]: **x**\n\n\
             Node: [cn-hangzhou.10.0.0.7](https://ecs.console.aliyun.com/#/server/10/detail?regionId=cn-hangzhou) \n\n\
             Level: **Warning** \n\nKind: **Pod** \n\n\
             Namespace: [shop](https://cs.console.aliyun.com/#/k8s/namespace) \n\n\
             Name: [web.17a3](https://cs.console.aliyun.com/#/k8s/pod/cn-hangzhou/c1/shop/web/container) \n\n\
             Reason: **BackOff** \n\nTimestamp: **2024-05-01 10:00:00 +0800 CST** \n\n\
             Message: **Back-off** "
        );
    }

    #[test]
    fn json_is_escaped_as_go_does() {
        assert_eq!(go_json(r#"{"a":"<b> & \"c\""}"#), r#"{"a":"\u003cb\u003e \u0026 \"c\""}"#);
    }
}

//! Messages that a person has written templates for: each service takes them and shows what they say.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod fakes;

use std::time::Duration;

use fakes::chat::Message;
use fakes::dingtalk::{self, DingTalk};
use fakes::feishu::{self, Feishu};
use fakes::records::record;
use fakes::slack::{self, Slack};
use fakes::teams::{self, Teams};
use fakes::wecom_app::{App, WeComApp};
use fakes::wecom_robot::{self, WeComRobot};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use kube_event_relay::sink::{Delivery, Outcome, SinkContext, http_client, registry};
use serde_json::{Value, json};

/// What the messages of the events say: text that some service would take for its own signs.
const SAID: &str = "probe <failed> & more";

/// Sends one event alone, and then two in a digest.
async fn send(kind: &str, options: &Value, templates: [&str; 2]) {
    let http = http_client().expect("CA certificates of the system");
    let context = SinkContext { cluster: "test".into(), http, config_maps: None };
    let mut options = options.as_object().expect("an object").clone();
    options.insert("labels".to_owned(), json!(["prod", "eu"]));
    options.insert("template".to_owned(), templates[0].into());
    options.insert("digestTemplate".to_owned(), templates[1].into());
    let built = (registry::find(kind).expect("a kind").build)(&options, &context);
    let mut sink = built.expect("a sink");
    for records in [vec![record(1, SAID)], vec![record(2, "first"), record(3, SAID)]] {
        assert_eq!(sink.deliver(&records).await, Delivery::Whole(Outcome::Accepted), "{kind}");
    }
}

/// Title and text of the two messages.
fn shown(messages: &[Message]) -> [(&str, &str); 2] {
    let [one, many] = messages else { panic!("two messages: {messages:?}") };
    [one, many].map(|message| (message.title.as_str(), message.text.as_str()))
}

/// The time of the events where this test runs.
fn time() -> String {
    let at: Timestamp = "2024-05-01T02:00:00Z".parse().expect("a time");
    at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

const DIGEST_TITLE: &str = "2 events about 1 thing, all warnings";

#[tokio::test]
async fn dingtalk_shows_text_with_its_keyword_and_mentions() {
    let robot = dingtalk::Robot { keyword: Some("K8s".into()), ..dingtalk::Robot::default() };
    let service = DingTalk::start(robot).await;
    let options = json!({"url": service.url(), "keyword": "K8s", "at": {"mobiles": ["138"]}});
    let single = "{{ labels|join('/') }}: {{ reason }} at {{ time }} ({{ count }})\n{{ message }}";
    send("dingtalk", &options, [single, "{{ records }} events"]).await;
    let text = format!("prod/eu: BackOff at {} (3)\n{SAID}\n\nK8s\n\n@138", time());
    let messages = service.messages();
    assert_eq!(shown(&messages), [("", &*text), ("", "2 events\n\nK8s\n\n@138")]);
    assert_eq!(messages[0].mentions.members, ["138"]);
}

#[tokio::test]
async fn dingtalk_shows_markdown_below_its_usual_title() {
    let service = DingTalk::start(dingtalk::Robot::default()).await;
    let options = json!({"url": service.url(), "msgType": "markdown", "clusterId": "c1"});
    let single = "### {{ object }}\n\n{{ message }}";
    let digest =
        "{% for group in groups %}\n- {{ group.name }} ×{{ group.records }}\n{% endfor %}\n";
    send("dingtalk", &options, [single, digest]).await;
    let text = format!("### shop/Pod/web\n\n{SAID}");
    let expected = [("Kubernetes(ID:c1) Event", &*text), (DIGEST_TITLE, "- web ×2")];
    assert_eq!(shown(&service.messages()), expected);
}

#[tokio::test]
async fn wechat_shows_nothing_but_the_template() {
    let service = WeComApp::start(App::default()).await;
    let App { corp_id, secret, agent_id, .. } = App::default();
    let options = json!({
        "url": service.base_url(), "corpId": corp_id, "corpSecret": secret, "agentId": agent_id,
    });
    let single = "{{ event.involvedObject.kind }} {{ name }}: {{ message }}";
    send("wechat", &options, [single, "{{ title }}: {{ groups[0].message }}"]).await;
    let (one, many) = (format!("Pod web: {SAID}"), format!("{DIGEST_TITLE}: {SAID}"));
    assert_eq!(shown(&service.messages()), [("", &*one), ("", &*many)]);
}

#[tokio::test]
async fn wecom_robot_shows_markdown_and_no_mention_of_an_event() {
    let service = WeComRobot::start(wecom_robot::Robot::default()).await;
    let options = json!({"url": service.url()});
    let single = "**{{ reason }}** <font color=\"warning\">{{ level }}</font>\n>{{ message }}";
    send("wecom-robot", &options, [single, "> {{ title }}"]).await;
    let one = "**BackOff** <font color=\"warning\">Warning</font>\n>probe ＜failed> & more";
    let many = format!("> {DIGEST_TITLE}");
    assert_eq!(shown(&service.messages()), [("", one), ("", &*many)]);
}

#[tokio::test]
async fn feishu_shows_each_line_below_its_usual_title() {
    let service = Feishu::start(feishu::Robot::default()).await;
    let options = json!({"url": service.url()});
    send("feishu", &options, ["{{ reason }}\n{{ message }}", "{{ records }}\n{{ labels[0] }}"])
        .await;
    let one = format!("BackOff\n{SAID}");
    let expected = [("Warning BackOff: shop/Pod/web", &*one), (DIGEST_TITLE, "2\nprod")];
    assert_eq!(shown(&service.messages()), expected);
}

#[tokio::test]
async fn slack_shows_links_of_the_template_and_not_those_of_an_event() {
    let service = Slack::start(slack::Hook::default()).await;
    service.limit(2, Duration::from_secs(1));
    let options = json!({"url": service.url()});
    let single = "<https://grafana.example/d/{{ namespace }}|*{{ reason }}*> {{ message }}";
    send("slack", &options, [single, "*{{ title }}*"]).await;
    let messages = service.messages();
    let sent: Value = serde_json::from_slice(&messages[0].body).expect("JSON");
    assert_eq!(
        sent["text"],
        "<https://grafana.example/d/shop|*BackOff*> probe &lt;failed&gt; &amp; more"
    );
    assert!(messages[1].text.contains(DIGEST_TITLE), "{}", messages[1].text);
}

#[tokio::test]
async fn teams_shows_markdown_below_its_usual_title() {
    let service = Teams::start(teams::Hook::default()).await;
    let options = json!({"url": service.url()});
    let digest =
        "{% for group in groups %}\n- {{ group.object }} since {{ group.first }}\n{% endfor %}\n";
    send("teams", &options, ["**{{ name }}**: {{ message }}", digest]).await;
    let (one, many) = (format!("**web**: {SAID}"), format!("- shop/Pod/web since {}", time()));
    let expected = [("Warning BackOff: shop/Pod/web", &*one), (DIGEST_TITLE, &*many)];
    assert_eq!(shown(&service.messages()), expected);
}

//! What chat services answer leads to what they document: a retry, a wait, a hold or a dead letter; and
//! whatever an event says is shown in a message they take.

#![allow(clippy::expect_used)] // a test fails where an expectation is not met

mod fakes;

use std::time::Duration;

use fakes::chat::{Message, Scripted};
use fakes::dingtalk::{self, DingTalk};
use fakes::feishu::{self, Feishu};
use fakes::records::{record, records};
use fakes::slack::{self, Slack};
use fakes::teams::{self, Teams};
use fakes::wecom_app::{App, WeComApp};
use fakes::wecom_robot::{self, WeComRobot};
use jiff::SignedDuration;
use kube_event_relay::event::Record;
use kube_event_relay::sink::{Delivery, Outcome, Sink, SinkContext, http_client, registry};
use serde_json::{Value, json};

fn sink(kind: &str, options: Value) -> Box<dyn Sink> {
    let http = http_client().expect("CA certificates of the system");
    let context = SinkContext { cluster: "test".into(), http, config_maps: None };
    let Value::Object(options) = options else { panic!("an object") };
    (registry::find(kind).expect("a kind").build)(&options, &context).expect("a sink")
}

fn app(service: &WeComApp, more: &Value) -> Box<dyn Sink> {
    let App { corp_id, secret, agent_id, .. } = App::default();
    let mut options = json!({
        "url": service.base_url(), "corpId": corp_id, "corpSecret": secret, "agentId": agent_id,
    });
    for (name, value) in more.as_object().expect("an object") {
        options[name] = value.clone();
    }
    sink("wechat", options)
}

async fn outcome(sink: &mut dyn Sink) -> Outcome {
    match sink.deliver(&records(1)).await {
        Delivery::Whole(outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

/// What is expected of an outcome.
#[derive(Debug, Clone, Copy)]
enum Expected {
    Accepted,
    Rejected,
    /// Try again on the relay's own schedule.
    Retry,
    /// Wait at least so many seconds.
    Wait(u64),
    /// Wait for an operator, who is told this.
    Hold(&'static str),
}

async fn expect(sink: &mut dyn Sink, what: &str, expected: Expected) {
    let outcome = outcome(sink).await;
    let matches = match (&outcome, expected) {
        (Outcome::Accepted, Expected::Accepted)
        | (Outcome::Rejected { .. }, Expected::Rejected)
        | (Outcome::Retry { after: None, .. }, Expected::Retry) => true,
        (Outcome::Retry { after: Some(after), .. }, Expected::Wait(seconds)) => {
            *after >= Duration::from_secs(seconds)
        }
        (Outcome::Hold { cause }, Expected::Hold(part)) => cause.contains(part),
        _ => false,
    };
    assert!(matches, "{what}: expected {expected:?}, got {outcome:?}");
}

use Expected::{Accepted, Hold, Rejected, Retry, Wait};

#[tokio::test]
async fn dingtalk_is_read_by_its_error_codes() {
    let service = DingTalk::start(dingtalk::Robot::default()).await;
    let cases = [
        (-1, "system busy", Retry),
        (90_030, "webhook over limit", Hold("quota")),
        (300_001, "token is not exist", Hold("access_token")),
        (400_101, "access_token not exist", Hold("access_token")),
        (400_102, "robot stopped", Hold("gone or disabled")),
        (40_014, "invalid access token", Hold("access_token")),
        (400_105, "unsupported msgtype", Rejected),
        (430_101, "unsafe link", Rejected),
        (40_035, "missing parameter", Rejected),
        (310_000, "ip 1.2.3.4 not in whitelist", Hold("security settings")),
        (999, "who knows", Retry),
    ];
    let options = || json!({"url": service.url()});
    for (code, text, expected) in cases {
        service.answer_next(1, Scripted::Code(code, text));
        expect(sink("dingtalk", options()).as_mut(), text, expected).await;
    }
    // Too long is told twice: the second message was half as long.
    service.answer_next(2, Scripted::Code(460_101, "message too long, exceed 20000 bytes"));
    expect(sink("dingtalk", options()).as_mut(), "too long", Rejected).await;
    service.answer_next(1, Scripted::Code(460_101, "message too long, exceed 20000 bytes"));
    expect(sink("dingtalk", options()).as_mut(), "half is taken", Accepted).await;
    let html = Scripted::Http { status: 200, headers: vec![], body: "<html>portal</html>".into() };
    service.answer_next(1, html);
    expect(sink("dingtalk", options()).as_mut(), "a portal", Hold("check the sink's URL")).await;
    service.answer_next(1, Scripted::Break);
    expect(sink("dingtalk", options()).as_mut(), "no answer", Retry).await;
}

#[tokio::test]
async fn a_robot_that_is_asked_too_often_is_left_alone_for_a_minute_and_then_for_ten() {
    let service = DingTalk::start(dingtalk::Robot::default()).await;
    service.limit(1, Duration::from_secs(3_600));
    let mut sink = sink("dingtalk", json!({"url": service.url()}));
    expect(sink.as_mut(), "the first", Accepted).await;
    expect(sink.as_mut(), "the second", Wait(60)).await;
    expect(sink.as_mut(), "in the penalty", Wait(600)).await;
    service.limit(10, Duration::from_secs(1));
    expect(sink.as_mut(), "afterwards", Accepted).await;
    assert_eq!(service.refused_codes(), [130_101, 130_101]);
}

#[tokio::test]
async fn security_settings_of_dingtalk_are_told_apart_by_their_words() {
    for chinese in [false, true] {
        let robot = dingtalk::Robot {
            secret: Some("SEC1".into()),
            keyword: Some("K8s".into()),
            chinese,
            ..dingtalk::Robot::default()
        };
        let service = DingTalk::start(robot).await;
        let url = service.url();
        let unsigned = json!({"url": url, "keyword": "K8s", "sign": "SEC2"});
        expect(sink("dingtalk", unsigned).as_mut(), "sign", Hold("`sign`")).await;
        let mute = json!({"url": url, "sign": "SEC1"});
        expect(sink("dingtalk", mute).as_mut(), "keyword", Hold("`keyword`")).await;
        let mut right = sink("dingtalk", json!({"url": url, "keyword": "K8s", "sign": "SEC1"}));
        service.clock_is(SignedDuration::from_hours(2));
        expect(right.as_mut(), "clock", Retry).await;
        service.clock_is(SignedDuration::ZERO);
        service.refuse_ip(true);
        expect(right.as_mut(), "address", Hold("security settings")).await;
        service.refuse_ip(false);
        expect(right.as_mut(), "all is well", Accepted).await;
    }
}

#[tokio::test]
async fn wecom_is_read_by_its_error_codes() {
    let robot = WeComRobot::start(wecom_robot::Robot::default()).await;
    let service = WeComApp::start(App::default()).await;
    let cases = [
        (-1, "system busy", Retry),
        (6_000, "data version conflict", Retry),
        (45_009, "api freq out of limit", Wait(60)),
        (45_033, "concurrent call limit", Wait(1)),
        (44_004, "empty content", Rejected),
        (40_033, "bad escapes", Rejected),
        (93_000, "invalid webhook url", Hold("the robot is gone")),
        (40_001, "invalid credential", Hold("corpSecret")),
        (40_013, "invalid corpid", Hold("corpId")),
        (40_056, "invalid agentid", Hold("agentId")),
        (60_020, "not allow to access from your ip", Hold("trusted addresses")),
        (81_013, "no valid recipient", Hold("toUser")),
        (40_008, "invalid message type", Retry),
    ];
    for (code, text, expected) in cases {
        robot.answer_next(1, Scripted::Code(code, text));
        let options = json!({"url": robot.url()});
        expect(sink("wecom-robot", options).as_mut(), text, expected).await;
        let mut app = app(&service, &json!({}));
        service.answer_next(1, Scripted::Code(code, text));
        expect(app.as_mut(), text, expected).await;
    }
    robot.answer_next(2, Scripted::Code(40_058, "content exceed max length 4096"));
    expect(sink("wecom-robot", json!({"url": robot.url()})).as_mut(), "long", Rejected).await;
}

#[tokio::test]
async fn a_token_is_kept_and_renewed_when_the_service_refuses_it() {
    let service = WeComApp::start(App::default()).await;
    let mut sink = app(&service, &json!({"duplicateCheck": false}));
    expect(sink.as_mut(), "first", Accepted).await;
    expect(sink.as_mut(), "second", Accepted).await;
    assert_eq!(service.token_requests(), 1, "one token for both");
    service.expire_token();
    expect(sink.as_mut(), "42001", Accepted).await;
    service.forget_token();
    expect(sink.as_mut(), "40014", Accepted).await;
    assert_eq!(service.token_requests(), 3);
    service.answer_next(2, Scripted::Code(40_014, "invalid access_token"));
    expect(sink.as_mut(), "a fresh one is refused", Hold("a token it has just given")).await;
    assert_eq!(service.messages().len(), 4);

    let mut wrong = app(&service, &json!({"corpSecret": "wrong"}));
    expect(wrong.as_mut(), "40001", Hold("`corpSecret`")).await;
    let mut nobody = app(&service, &json!({"toUser": ["nobody"]}));
    expect(nobody.as_mut(), "81013", Hold("`toUser`")).await;
    let mut some = app(&service, &json!({"toUser": ["nobody", "zhang"]}));
    expect(some.as_mut(), "invaliduser is told in the log", Accepted).await;
    assert_eq!(service.messages().last().expect("one").receivers, ["zhang"]);
}

#[tokio::test]
async fn the_service_drops_what_comes_again_after_a_lost_answer() {
    let service = WeComApp::start(App::default()).await;
    let mut sink = app(&service, &json!({}));
    expect(sink.as_mut(), "a token", Accepted).await;
    let again = [record(7, "the answer to this is lost")];
    service.answer_next(1, Scripted::Break);
    let lost = sink.deliver(&again).await;
    assert!(matches!(lost, Delivery::Whole(Outcome::Retry { .. })), "{lost:?}");
    assert_eq!(sink.deliver(&again).await, Delivery::Whole(Outcome::Accepted));
    assert_eq!(service.messages().len(), 2);
    assert_eq!(service.lost().len(), 2, "neither member sees it twice");
}

#[tokio::test]
async fn feishu_is_read_by_its_error_codes() {
    let service = Feishu::start(feishu::Robot::default()).await;
    let cases = [
        (11_232, "frequency limited", Wait(60)),
        (9_499, "too many request", Wait(60)),
        (19_001, "param invalid: incoming webhook access token invalid", Hold("url")),
        (19_002, "params error", Rejected),
        (19_022, "Ip Not Allowed", Hold("address")),
        (1, "who knows", Retry),
    ];
    for (code, text, expected) in cases {
        service.answer_next(1, Scripted::Code(code, text));
        expect(sink("feishu", json!({"url": service.url()})).as_mut(), text, expected).await;
    }
    service.answer_next(2, Scripted::Code(9_499, "Bad Request"));
    expect(sink("feishu", json!({"url": service.url()})).as_mut(), "too long", Rejected).await;
    service.limit(1, Duration::from_secs(3_600));
    let mut often = sink("feishu", json!({"url": service.url()}));
    expect(often.as_mut(), "the first", Accepted).await;
    expect(often.as_mut(), "the second", Wait(1)).await;

    let robot = feishu::Robot {
        secret: Some("s1".into()),
        keyword: Some("K8s".into()),
        ..feishu::Robot::default()
    };
    let strict = Feishu::start(robot).await;
    let url = strict.url();
    let wrong = json!({"url": url, "sign": "s2", "keyword": "K8s"});
    expect(sink("feishu", wrong).as_mut(), "19021", Hold("`sign`")).await;
    expect(sink("feishu", json!({"url": url, "sign": "s1"})).as_mut(), "19024", Hold("`keyword`"))
        .await;
    let right = json!({"url": url, "sign": "s1", "keyword": "K8s"});
    expect(sink("feishu", right).as_mut(), "all is well", Accepted).await;
}

#[tokio::test]
async fn slack_is_read_by_status_and_text() {
    let service = Slack::start(slack::Hook::default()).await;
    let mut sink = sink("slack", json!({"url": service.url()}));
    let cases = [
        (400, "invalid_payload", Rejected),
        (400, "no_text", Rejected),
        (400, "user_not_found", Hold("channel")),
        (403, "action_prohibited", Hold("channel")),
        (404, "no_service", Hold("channel")),
        (404, "channel_not_found", Hold("channel")),
        (410, "channel_is_archived", Hold("channel")),
        (500, "rollup_error", Retry),
        (200, "<html>portal</html>", Hold("check the sink's URL")),
    ];
    for (status, text, expected) in cases {
        service.answer_next(1, Scripted::Code(status, text));
        expect(sink.as_mut(), text, expected).await;
    }
    service.limit(1, Duration::from_secs(3_600));
    expect(sink.as_mut(), "the first", Accepted).await;
    expect(sink.as_mut(), "429 with Retry-After", Wait(60)).await;
    assert_eq!(service.refusals().last().expect("one").code, 429);
}

#[tokio::test]
async fn teams_is_read_by_status_and_by_what_a_connector_says_in_200() {
    let flow = Teams::start(teams::Hook::default()).await;
    let mut sink_of_flow = sink("teams", json!({"url": flow.url()}));
    for (status, text, expected) in [
        (400, "bad card", Rejected),
        (401, "wrong sig", Hold("credentials")),
        (404, "flow deleted", Hold("URL")),
        (429, "too many requests", Retry),
        (502, "bad gateway", Retry),
    ] {
        flow.answer_next(1, Scripted::Code(status, text));
        expect(sink_of_flow.as_mut(), text, expected).await;
    }
    expect(sink_of_flow.as_mut(), "202", Accepted).await;

    let connector = Teams::start(teams::Hook::connector()).await;
    let mut sink = sink("teams", json!({"url": connector.url()}));
    let failed =
        "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error";
    for (status, expected) in [("429", Retry), ("403", Hold("credentials")), ("500", Retry)] {
        let body = format!("{failed} {status} with ContextId tcid=0");
        connector.answer_next(1, Scripted::Http { status: 200, headers: vec![], body });
        expect(sink.as_mut(), status, expected).await;
    }
    let too_large = format!("{failed} 413 with ContextId tcid=0");
    connector.answer_next(2, Scripted::Http { status: 200, headers: vec![], body: too_large });
    expect(sink.as_mut(), "413", Rejected).await;
    expect(sink.as_mut(), "1", Accepted).await;
}

/// Events that have given others trouble, each with what a person must be able to read of it.
fn odd() -> Vec<(Record, &'static str)> {
    let long = format!("{}\u{1f4a5}", "é".repeat(50_000));
    [
        (
            r#"Readiness probe failed: "503" <Service> & 'more' \ {{ .x }} %s"#,
            "Readiness probe failed",
        ),
        ("several\nlines\r\nof\ttext", "of"),
        ("\u{1b}[31mred\u{1b}[0m and a bell\u{7}", "red and a bell"),
        ("👩‍👩‍👧 emoji 🤒", "👩‍👩‍👧 emoji 🤒"),
        ("שלום עולם \u{202e}abc", "שלום עולם"),
        (&long, "éééé"),
        ("", "BackOff"),
        (
            "@all @everyone <!channel> <@U1> **bold** [x](http://evil) `code` # head",
            "@all @everyone",
        ),
    ]
    .into_iter()
    .zip(1..)
    .map(|((message, expected), version)| (record(version, message), expected))
    .collect()
}

/// Sends each odd event alone and all of them together.
async fn send_odd(mut sink: Box<dyn Sink>) -> Vec<&'static str> {
    let (records, expected): (Vec<_>, Vec<_>) = odd().into_iter().unzip();
    for record in &records {
        let delivery = sink.deliver(std::slice::from_ref(record)).await;
        assert_eq!(delivery, Delivery::Whole(Outcome::Accepted));
    }
    assert_eq!(sink.deliver(&records).await, Delivery::Whole(Outcome::Accepted));
    expected
}

fn assert_readable(kind: &str, messages: &[Message], expected: &[&str]) {
    assert_eq!(messages.len(), expected.len() + 1, "{kind}");
    for (message, expected) in messages.iter().zip(expected) {
        let shown = format!("{}\n{}", message.title, message.text);
        assert!(shown.contains(expected), "{kind}: {expected:?} in {shown}");
        let odd = |character: char| character.is_control() && !"\n\t".contains(character);
        assert!(!shown.contains(odd), "{kind}: {shown:?}");
        assert!(message.mentions.members.is_empty() && !message.mentions.everyone, "{kind}");
    }
    let digest = messages.last().expect("a digest");
    assert!(digest.text.contains("×8"), "{kind}: {}", digest.text);
}

#[tokio::test]
async fn whatever_an_event_says_is_shown_within_the_limits() {
    const OFTEN: (usize, Duration) = (1_000, Duration::from_secs(1));
    for markdown in ["text", "markdown"] {
        let service = DingTalk::start(dingtalk::Robot::default()).await;
        let expected =
            send_odd(sink("dingtalk", json!({"url": service.url(), "msgType": markdown}))).await;
        assert_readable(markdown, &service.messages(), &expected);
    }
    let service = WeComApp::start(App::default()).await;
    let expected = send_odd(app(&service, &json!({"duplicateCheck": false}))).await;
    assert_readable("wechat", &service.messages(), &expected);
    let service = WeComRobot::start(wecom_robot::Robot::default()).await;
    let expected = send_odd(sink("wecom-robot", json!({"url": service.url()}))).await;
    assert_readable("wecom-robot", &service.messages(), &expected);
    let service = Feishu::start(feishu::Robot::default()).await;
    service.limit(OFTEN.0, OFTEN.1);
    let expected = send_odd(sink("feishu", json!({"url": service.url()}))).await;
    assert_readable("feishu", &service.messages(), &expected);
    let service = Slack::start(slack::Hook::default()).await;
    service.limit(OFTEN.0, OFTEN.1);
    let expected = send_odd(sink("slack", json!({"url": service.url()}))).await;
    assert_readable("slack", &service.messages(), &expected);
    let service = Teams::start(teams::Hook::default()).await;
    service.limit(OFTEN.0, OFTEN.1);
    let expected = send_odd(sink("teams", json!({"url": service.url()}))).await;
    assert_readable("teams", &service.messages(), &expected);
}

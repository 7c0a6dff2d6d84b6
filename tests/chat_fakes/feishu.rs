//! A custom robot of Feishu.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::fakes::chat::Mentions;
use crate::fakes::feishu::{Feishu, Robot, sign};
use crate::{post, post_as};

/// A service that takes as many messages as a test has.
async fn patient(robot: Robot) -> Feishu {
    let service = Feishu::start(robot).await;
    service.limit(1000, Duration::from_secs(1));
    service
}

fn text(content: &str) -> Value {
    json!({"msg_type": "text", "content": {"text": content}})
}

#[test]
fn signatures_are_those_of_the_documentation() {
    let documented = "/eYKrXQBzTjUZJ3s6NX16VxGbTwmK7AEs8/FnvC1CSw=";
    assert_eq!(sign("this is secret", "1599360473"), documented);
    assert_eq!(sign("demo", "1700000000"), "8oT2n3SMKFfEnDoiwer8BUM/SjKLwe9SqoEIHlhDTKo=");
}

#[tokio::test]
async fn a_message_is_kept_as_people_see_it() {
    let service = patient(Robot::default()).await;
    let post_message = json!({"msg_type": "post", "content": {"post": {"zh_cn": {
        "title": "Pod web", "content": [
            [{"tag": "text", "text": "a "}, {"tag": "a", "text": "b", "href": "http://c"}],
            [{"tag": "at", "user_id": "all"}]]}}}});
    let card = json!({"msg_type": "interactive", "card": {
        "header": {"title": {"tag": "plain_text", "content": "Pod web"}, "template": "red"},
        "elements": [
            {"tag": "div", "text": {"tag": "lark_md", "content": "**a** <at id=ou_1></at>"}},
            {"tag": "hr"},
            {"tag": "note", "elements": [{"tag": "plain_text", "content": "b"}]}]}});
    let mention = text("a <at user_id=\"ou_2\">Li</at>");
    for message in [&post_message, &card, &mention] {
        let answer = post(&service.url(), message).await.json();
        assert_eq!((&answer["code"], &answer["StatusCode"]), (&json!(0), &json!(0)));
    }
    let messages = service.messages();
    assert_eq!(
        (messages[0].title.as_str(), messages[0].text.as_str()),
        ("Pod web", "a b http://c\n@all")
    );
    assert_eq!(messages[0].mentions, Mentions { everyone: true, members: Vec::new() });
    assert_eq!(messages[1].title, "Pod web");
    assert_eq!(messages[1].text, "**a** <at id=ou_1></at>\nb");
    assert_eq!(messages[1].mentions.members, ["ou_1"]);
    assert_eq!(messages[2].mentions.members, ["ou_2"]);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let service = patient(Robot::default()).await;
    let elsewhere = service.url().replace("hook/", "hook/1");
    assert_eq!(post(&elsewhere, &text("a")).await.code(), 19001);
    assert_eq!(post(&service.url().replace("v2", "v1"), &text("a")).await.status, 404);
    let post_of = |content: Value| json!({"msg_type": "post", "content": {"post": {"zh_cn": {"content": content}}}});
    for (code, message) in [
        (19002, json!({"content": {"text": "a"}})),
        (9499, json!({"msg_type": "markdown", "content": {"text": "a"}})),
        (9499, text(" ")),
        (9499, json!({"msg_type": "text", "text": {"content": "a"}})),
        (9499, post_of(json!([{"tag": "text", "text": "a"}]))),
        (9499, post_of(json!([[{"tag": "b", "text": "a"}]]))),
        (9499, json!({"msg_type": "interactive", "card": "{\"elements\":[]}"})),
        (9499, json!({"msg_type": "interactive", "card": {"elements": []}})),
    ] {
        assert_eq!(post(&service.url(), &message).await.code(), code, "{message}");
    }
    assert_eq!(post_as(&service.url(), "application/json", "{").await.code(), 9499);
    let body = text("a").to_string();
    assert_eq!(post_as(&service.url(), "text/plain", body).await.code(), 9499);
    let fits = "a".repeat(20_000 - text("").to_string().len());
    assert_eq!(post(&service.url(), &text(&fits)).await.code(), 0);
    assert_eq!(post(&service.url(), &text(&format!("{fits}a"))).await.code(), 9499);
}

#[tokio::test]
async fn security_settings_are_checked() {
    let (secret, keyword) = (Some("demo".to_owned()), Some("relay".to_owned()));
    let service = patient(Robot { secret, keyword, ..Robot::default() }).await;
    let signed = |content: &str, at: Timestamp, secret: &str| {
        let at = at.as_second().to_string();
        let mut message = text(content);
        message["sign"] = json!(sign(secret, &at));
        message["timestamp"] = json!(at);
        message
    };
    let now = Timestamp::now();
    let old = now - SignedDuration::from_mins(61);
    assert_eq!(post(&service.url(), &signed("relay", now, "demo")).await.code(), 0);
    assert_eq!(post(&service.url(), &signed("relay", now, "another")).await.code(), 19021);
    assert_eq!(post(&service.url(), &signed("relay", old, "demo")).await.code(), 19021);
    assert_eq!(post(&service.url(), &text("relay")).await.code(), 19021);
    assert_eq!(post(&service.url(), &signed("other", now, "demo")).await.code(), 19024);
    service.clock_is(SignedDuration::from_mins(-61));
    assert_eq!(post(&service.url(), &signed("relay", old, "demo")).await.code(), 0);
    service.refuse_ip(true);
    assert_eq!(post(&service.url(), &signed("relay", old, "demo")).await.code(), 19022);
}

#[tokio::test]
async fn every_request_counts() {
    let service = Feishu::start(Robot::default()).await;
    service.limit(5, Duration::from_secs(60));
    for _ in 0..4 {
        assert_eq!(post(&service.url(), &text("")).await.code(), 9499);
    }
    assert_eq!(post(&service.url(), &text("a")).await.code(), 0);
    assert_eq!(post(&service.url(), &text("a")).await.code(), 11232);
    assert_eq!(service.messages().len(), 1);
}

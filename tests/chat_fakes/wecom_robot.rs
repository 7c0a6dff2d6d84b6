//! A group robot of WeCom.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fakes::chat::Mentions;
use crate::fakes::wecom_robot::{Robot, WeComRobot};
use crate::{post, post_as};

fn message(kind: &str, content: &str) -> Value {
    json!({"msgtype": kind, kind: {"content": content}})
}

#[tokio::test]
async fn a_message_is_kept_as_people_see_it() {
    let service = WeComRobot::start(Robot::default()).await;
    let named = json!({"msgtype": "text", "text": {
        "content": "é", "mentioned_list": ["li", "@all"], "mentioned_mobile_list": ["1801"]}});
    let markdown = message("markdown", "<font color=\"warning\">BackOff</font> &amp; <@zhang>");
    for message in [&named, &markdown, &message("markdown_v2", "| a |\n<@zhang>")] {
        assert_eq!(post(&service.url(), message).await.error(), (0, "ok".into()));
    }
    let messages = service.messages();
    assert_eq!(messages[0].text, "é");
    let members = vec!["li".to_owned(), "1801".to_owned()];
    assert_eq!(messages[0].mentions, Mentions { everyone: true, members });
    assert_eq!(messages[1].text, "<font color=\"warning\">BackOff</font> &amp; <@zhang>");
    assert_eq!(messages[1].mentions.members, ["zhang"]);
    assert_eq!(messages[2].mentions, Mentions::default());
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let service = WeComRobot::start(Robot::default()).await;
    for elsewhere in [service.url().replace("key=", "key=0"), service.url().replace("key=", "k=")] {
        let (code, words) = post(&elsewhere, &message("text", "a")).await.error();
        assert_eq!(code, 93000);
        assert!(words.starts_with("invalid webhook url, hint: ["), "{words}");
    }
    for (code, message) in [
        (44004, message("text", "")),
        (44004, message("markdown", " \n")),
        (40058, json!({"msgtype": "text"})),
        (40058, json!({"text": {"content": "a"}})),
        (40058, json!({"msgtype": "news", "news": {"articles": []}})),
        (40058, json!({"msgtype": "text", "text": {"content": "a", "mentioned_list": "li"}})),
        (40008, message("post", "a")),
        (40033, message("text", "\u{1b}[31mred")),
    ] {
        assert_eq!(post(&service.url(), &message).await.code(), code, "{message}");
    }
    let escaped = r#"{"msgtype":"text","text":{"content":"\u00e9"}}"#;
    assert_eq!(post_as(&service.url(), "application/json", escaped).await.code(), 40033);
    let lenient = WeComRobot::start(Robot { takes_escapes: true, ..Robot::default() }).await;
    assert_eq!(post_as(&lenient.url(), "application/json", escaped).await.code(), 0);
    assert_eq!(lenient.messages()[0].text, "é");
    let backslash = r#"{"msgtype":"text","text":{"content":"C:\\u00e9"}}"#;
    assert_eq!(post_as(&service.url(), "application/json", backslash).await.code(), 0);
    assert_eq!(post_as(&service.url(), "application/json", "{").await.code(), 44004);
    assert_eq!(post_as(&service.url(), "text/plain", backslash).await.code(), 40058);
}

#[tokio::test]
async fn contents_are_limited_in_bytes() {
    let service = WeComRobot::start(Robot::default()).await;
    for (kind, limit) in [("text", 2048), ("markdown", 4096), ("markdown_v2", 4096)] {
        let fits = "é".repeat(limit / 2);
        assert_eq!(post(&service.url(), &message(kind, &fits)).await.code(), 0);
        let (code, words) = post(&service.url(), &message(kind, &format!("{fits}a"))).await.error();
        assert_eq!(code, 40058);
        let expected = format!("{kind}.content exceed max length {limit}.");
        assert!(words.starts_with(&expected), "{words}");
    }
}

#[tokio::test]
async fn one_too_many_blocks_for_a_minute() {
    let service = WeComRobot::start(Robot::default()).await;
    for _ in 0..20 {
        assert_eq!(post(&service.url(), &message("text", "a")).await.code(), 0);
    }
    assert_eq!(post(&service.url(), &message("text", "a")).await.code(), 45009);
    service.limit(21, Duration::from_secs(60));
    assert_eq!(post(&service.url(), &message("text", "a")).await.code(), 0);
    assert_eq!(post(&service.url(), &message("text", "a")).await.code(), 45009);
}

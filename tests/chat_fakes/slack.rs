//! An incoming webhook of Slack.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fakes::chat::{Mentions, Scripted};
use crate::fakes::mrkdwn::Mrkdwn;
use crate::fakes::slack::{Hook, Slack};
use crate::{post, post_as, soon};

/// A service that takes as many messages as a test has.
async fn patient() -> Slack {
    let service = Slack::start(Hook::default()).await;
    service.limit(1000, Duration::from_secs(1));
    service
}

fn section(text: &str) -> Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": text}})
}

#[test]
fn mrkdwn_is_read_as_people_see_it() {
    for (source, shown) in [
        ("*a* &lt;b&gt; &amp; c", "*a* <b> & c"),
        ("&amp;lt;", "&lt;"),
        ("a & b > c", "a & b > c"),
        ("a < b", "a < b"),
        ("<https://example.com|a &amp; b> <https://example.com>", "a & b https://example.com"),
    ] {
        let expected = Mrkdwn { text: shown.into(), mentions: Mentions::default() };
        assert_eq!(Mrkdwn::read(source), expected);
    }
    let everyone = Mrkdwn::read("x <!channel> <@U1> <!here|here>");
    assert_eq!(everyone.text, "x @channel @U1 @here");
    assert_eq!(everyone.mentions, Mentions { everyone: true, members: vec!["U1".into()] });
    assert!(!Mrkdwn::read("x &lt;!channel&gt;").mentions.everyone);
}

#[tokio::test]
async fn a_message_is_kept_as_people_see_it() {
    let service = patient().await;
    let blocks = json!({"text": "for notifications", "blocks": [
        {"type": "header", "text": {"type": "plain_text", "text": "Pod web"}},
        section("a &lt;b&gt;"),
        {"type": "divider"},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "c"}]},
    ], "attachments": [{"color": "#ff0000", "text": "d"}]});
    assert_eq!(post(&service.url(), &blocks).await.body, "ok");
    let long = json!({"text": "é".repeat(40_001)});
    let answer = post(&service.url(), &long).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    let messages = service.messages();
    assert_eq!(messages[0].title, "Pod web");
    assert_eq!(messages[0].text, "a <b>\nc\nd");
    assert_eq!(messages[1].text, "é".repeat(40_000));
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let service = patient().await;
    let header = json!({"type": "header", "text": {"type": "plain_text", "text": "a".repeat(151)}});
    let attachments = vec![json!({"text": "a"}); 101];
    for (words, message) in [
        ("no_text", json!({})),
        ("no_text", json!({"text": " "})),
        ("no_text", json!({"text": "", "blocks": [{"type": "divider"}]})),
        ("invalid_payload", json!({"text": {}})),
        ("invalid_payload", json!({"text": "a", "blocks": {}})),
        ("invalid_payload", json!([])),
        ("invalid_blocks", json!({"blocks": [{"type": "text"}]})),
        ("invalid_blocks", json!({"blocks": [section("")]})),
        ("invalid_blocks", json!({"blocks": [section(&"é".repeat(3001))]})),
        ("invalid_blocks", json!({"blocks": vec![section("a"); 51]})),
        ("invalid_blocks", json!({"blocks": [header]})),
        ("too_many_attachments", json!({"attachments": attachments})),
    ] {
        let answer = post(&service.url(), &message).await;
        assert_eq!((answer.status, answer.body.as_str()), (400, words), "{message}");
    }
    let answer = post_as(&service.url(), "text/plain", r#"{"text":"a"}"#).await;
    assert_eq!(answer.body, "invalid_payload");
    let fits = json!({"blocks": vec![section(&"é".repeat(3000)); 50]});
    assert_eq!(post(&service.url(), &fits).await.body, "ok");
    for (from, to, status, words) in [
        ("T0", "T1", 404, "no_team"),
        ("B0", "B1", 404, "no_service"),
        ("slack-token", "another", 403, "invalid_token"),
        ("/slack-token", "", 404, "no_service_id"),
        ("services", "service", 404, "not found"),
    ] {
        let answer = post(&service.url().replace(from, to), &json!({"text": "a"})).await;
        assert_eq!((answer.status, answer.body.as_str()), (status, words));
    }
}

#[tokio::test]
async fn one_message_a_second() {
    let service = Slack::start(Hook::default()).await;
    let start = Instant::now();
    let mut refused = 0;
    for text in ["a", "b"] {
        while post(&service.url(), &json!({"text": text})).await.status == 429 {
            refused += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(service.refused_codes(), vec![429; refused]);
    service.limit(0, Duration::from_millis(1500));
    let answer = post(&service.url(), &json!({"text": "c"})).await;
    assert_eq!((answer.status, answer.body.as_str()), (429, "rate_limited"));
    assert_eq!(answer.retry_after.as_deref(), Some("2"));
    service.answer_next(1, Scripted::Code(410, "channel_is_archived"));
    let answer = post(&service.url(), &json!({"text": "c"})).await;
    assert_eq!((answer.status, answer.body.as_str()), (410, "channel_is_archived"));
    assert_eq!(soon(service.until(|messages| messages.len() == 2)).await[1].text, "b");
}

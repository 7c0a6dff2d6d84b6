//! Webhooks of Microsoft Teams.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fakes::chat::Scripted;
use crate::fakes::teams::{Hook, Teams};
use crate::{Answer, post, post_as};

/// A service that takes as many messages as a test has.
async fn patient(hook: Hook) -> Teams {
    let service = Teams::start(hook).await;
    service.limit(1000, Duration::from_secs(1));
    service
}

fn card(body: &Value) -> Value {
    json!({"type": "message", "attachments": [{
    "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null,
    "content": {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard", "version": "1.4", "body": body,
    }}]})
}

fn text(text: &str) -> Value {
    card(&json!([{"type": "TextBlock", "text": text, "wrap": true}]))
}

fn is(answer: &Answer, status: u16, body: &str) -> bool {
    answer.status == status && answer.body.contains(body)
}

#[tokio::test]
async fn a_message_is_kept_as_people_see_it() {
    let service = patient(Hook::default()).await;
    let mut whole = card(&json!([
        {"type": "TextBlock", "text": "Pod web", "weight": "Bolder"},
        {"type": "TextBlock", "text": "**BackOff** <at>Li</at>"},
        {"type": "FactSet", "facts": [{"title": "Kind", "value": "Pod"}]},
    ]));
    whole["attachments"][0]["content"]["msteams"] = json!({"entities": [
        {"type": "mention", "text": "<at>Li</at>", "mentioned": {"id": "29:1", "name": "Li"}},
        {"type": "mention", "text": "<at>Zhang</at>", "mentioned": {"id": "29:2", "name": "Zhang"}},
    ]});
    let answer = post(&service.url(), &whole).await;
    assert_eq!((answer.status, answer.body.as_str()), (202, ""));
    let messages = service.messages();
    assert_eq!(messages[0].title, "Pod web");
    assert_eq!(messages[0].text, "**BackOff** <at>Li</at>\nKind Pod");
    assert_eq!(messages[0].mentions.members, ["29:1"], "the card does not name the other one");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let service = patient(Hook::default()).await;
    let mut version = text("a");
    version["attachments"][0]["content"]["version"] = json!("9.9");
    let mut content = text("a");
    content["attachments"][0]["contentType"] = json!("application/json");
    for message in [
        json!({"text": "a"}),
        json!({"type": "message", "attachments": []}),
        card(&json!([])),
        card(&json!([{"type": "TextBlock"}])),
        card(&json!([{"type": "TextBlock", "text": ""}])),
        card(&json!([{"type": "Text", "text": "a"}])),
        version,
        content,
    ] {
        assert_eq!(post(&service.url(), &message).await.status, 400, "{message}");
    }
    assert_eq!(post_as(&service.url(), "application/json", "{").await.status, 400);
    assert_eq!(post_as(&service.url(), "text/plain", text("a").to_string()).await.status, 400);
    assert_eq!(post(&service.url().replace("sig=", "sig=1"), &text("a")).await.status, 401);
    let elsewhere = service.url().replace("/workflows/", "/workflows/1");
    assert_eq!(post(&elsewhere, &text("a")).await.status, 404);
    let fits = "a".repeat(28_000 - text("").to_string().len());
    assert_eq!(post(&service.url(), &text(&fits)).await.status, 202);
    assert_eq!(post(&service.url(), &text(&format!("{fits}a"))).await.status, 413);
    assert_eq!(service.messages().len(), 1);
}

#[tokio::test]
async fn a_connector_embeds_failures_in_a_success() {
    let service = patient(Hook::connector()).await;
    assert!(is(&post(&service.url(), &text("a")).await, 200, "1"));
    let older = json!({"@type": "MessageCard", "title": "Pod web", "text": "BackOff"});
    assert!(is(&post(&service.url(), &older).await, 200, "1"));
    let answer = post(&service.url(), &json!({"title": "Pod web"})).await;
    assert!(is(&answer, 400, "Bad payload"), "{}", answer.body);
    let large = post(&service.url(), &text(&"a".repeat(28_000))).await;
    assert!(is(&large, 200, "Microsoft Teams endpoint returned HTTP error 413 "), "{}", large.body);
    service.limit(0, Duration::from_secs(1));
    let answer = post(&service.url(), &text("a")).await;
    assert!(
        is(
            &answer,
            200,
            "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 "
        ),
        "{}",
        answer.body
    );
    assert_eq!(service.refused_codes(), [400, 413, 429]);
    assert_eq!(service.messages()[1].title, "Pod web");
}

#[tokio::test]
async fn every_request_counts() {
    let service = Teams::start(Hook::default()).await;
    service.limit(4, Duration::from_secs(60));
    for _ in 0..3 {
        assert_eq!(post(&service.url(), &json!({})).await.status, 400);
    }
    assert_eq!(post(&service.url(), &text("a")).await.status, 202);
    assert_eq!(post(&service.url(), &text("a")).await.status, 429);
    service.answer_next(1, Scripted::Code(404, "the workflow was deleted"));
    assert_eq!(post(&service.url(), &text("a")).await.status, 404);
}

//! Application messages of WeCom.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fakes::chat::Scripted;
use crate::fakes::wecom_app::{App, Cause, WeComApp};
use crate::{Answer, get, post};

fn to(users: &str, content: &str) -> Value {
    json!({
        "touser": users, "toparty": "", "totag": "", "msgtype": "text", "agentid": 1_000_002,
        "text": {"content": content}, "safe": 0,
    })
}

fn token_url(service: &WeComApp, corp: &str, secret: &str) -> String {
    format!("{}/cgi-bin/gettoken?corpid={corp}&corpsecret={secret}", service.base_url())
}

async fn token(service: &WeComApp) -> String {
    let answer = get(&token_url(service, "wwcorp", "app-secret")).await.json();
    answer["access_token"].as_str().expect("a token").to_owned()
}

async fn send(service: &WeComApp, token: &str, message: &Value) -> Answer {
    post(&format!("{}?access_token={token}", service.url()), message).await
}

#[tokio::test]
async fn a_token_is_for_those_who_know_the_secret() {
    let service = WeComApp::start(App::default()).await;
    assert_eq!(get(&token_url(&service, "another", "app-secret")).await.code(), 40013);
    assert_eq!(get(&token_url(&service, "wwcorp", "another")).await.code(), 40001);
    let answer = get(&token_url(&service, "wwcorp", "app-secret")).await.json();
    assert_eq!(answer["errcode"], 0);
    assert_eq!(answer["expires_in"], 7200);
    assert_eq!(answer["access_token"], token(&service).await, "the same one again");
    assert_eq!(service.token_requests(), 4);
}

#[tokio::test]
async fn a_token_is_checked() {
    let service = WeComApp::start(App::default()).await;
    let first = token(&service).await;
    assert_eq!(post(&service.url(), &to("li", "a")).await.code(), 41001);
    assert_eq!(send(&service, "another", &to("li", "a")).await.code(), 40014);
    assert_eq!(send(&service, &first, &to("li", "a")).await.code(), 0);
    service.expire_token();
    assert_eq!(send(&service, &first, &to("li", "a")).await.code(), 42001);
    let second = token(&service).await;
    assert_ne!(first, second);
    assert_eq!(send(&service, &second, &to("li", "a")).await.code(), 0);
    service.forget_token();
    assert_eq!(send(&service, &second, &to("li", "a")).await.code(), 40014);
    service.answer_next_token(1, Scripted::Code(45009, "api freq out of limit"));
    assert_eq!(get(&token_url(&service, "wwcorp", "app-secret")).await.code(), 45009);
    assert_eq!(send(&service, &token(&service).await, &to("li", "a")).await.code(), 0);
}

#[tokio::test]
async fn a_token_expires_by_itself() {
    let token_lifetime = Duration::from_secs(1);
    let service = WeComApp::start(App { token_lifetime, ..App::default() }).await;
    let first = token(&service).await;
    tokio::time::sleep(token_lifetime).await;
    assert_eq!(send(&service, &first, &to("li", "a")).await.code(), 42001);
    assert_ne!(token(&service).await, first);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let service = WeComApp::start(App::default()).await;
    let token = token(&service).await;
    let with = |field: &str, value: Value| {
        let mut message = to("li", "a");
        message[field] = value;
        message
    };
    let markdown = "a".repeat(2049);
    let mut long = with("msgtype", json!("markdown"));
    long["markdown"] = json!({"content": markdown});
    for (code, message) in [
        (44004, to("li", " ")),
        (40058, with("text", json!({}))),
        (40058, with("touser", json!(["li"]))),
        (40008, with("msgtype", json!("post"))),
        (40033, to("li", "\u{1b}")),
        (40056, with("agentid", json!(1))),
        (40056, with("agentid", json!("1000002"))),
        (45002, long),
        (40031, to(&"a|".repeat(1001), "a")),
        (81013, to("nobody|none", "a")),
        (81013, to("", "a")),
    ] {
        assert_eq!(send(&service, &token, &message).await.code(), code, "{message}");
    }
    service.refuse_ip(true);
    assert_eq!(send(&service, &token, &to("li", "a")).await.code(), 60020);
    assert!(service.messages().is_empty());
}

#[tokio::test]
async fn a_long_text_is_cut_and_some_receivers_may_be_wrong() {
    let service = WeComApp::start(App::default()).await;
    let token = token(&service).await;
    let text = format!("a{}", "é".repeat(1024));
    let answer = send(&service, &token, &to("li|nobody|none", &text)).await.json();
    assert_eq!(answer["errcode"], 0);
    assert_eq!(answer["invaliduser"], "nobody|none");
    assert_eq!(send(&service, &token, &to("@all", "b")).await.json()["invaliduser"], "");
    let messages = service.messages();
    assert_eq!(messages[0].receivers, ["li"]);
    assert_eq!(messages[0].text, format!("a{}", "é".repeat(1023)), "no half characters");
    assert_eq!(messages[1].receivers, ["zhang", "li"]);
}

#[tokio::test]
async fn a_member_sees_30_messages_a_minute_and_nobody_says_so() {
    let service = WeComApp::start(App::default()).await;
    let token = token(&service).await;
    for _ in 0..31 {
        assert_eq!(send(&service, &token, &to("li", "a")).await.code(), 0);
    }
    assert_eq!(service.messages().len(), 30);
    assert_eq!(send(&service, &token, &to("@all", "b")).await.code(), 0);
    assert_eq!(service.messages()[30].receivers, ["zhang"]);
    let lost = service.lost();
    let lost: Vec<_> = lost.iter().map(|lost| (lost.member.as_str(), lost.cause)).collect();
    assert_eq!(lost, [("li", Cause::TooMany), ("li", Cause::TooMany)]);
}

#[tokio::test]
async fn the_same_bytes_again_are_suppressed_if_wanted() {
    let service = WeComApp::start(App::default()).await;
    let token = token(&service).await;
    let mut message = to("@all", "a");
    assert_eq!(send(&service, &token, &message).await.code(), 0);
    assert_eq!(send(&service, &token, &message).await.code(), 0);
    assert_eq!(service.messages().len(), 2, "nobody asked for the check");
    message["enable_duplicate_check"] = json!(1);
    assert_eq!(send(&service, &token, &message).await.code(), 0);
    assert_eq!(send(&service, &token, &message).await.code(), 0);
    assert_eq!(service.messages().len(), 3);
    assert_eq!(service.lost()[0].cause, Cause::Duplicate);
    message["duplicate_check_interval"] = json!(1);
    assert_eq!(send(&service, &token, &message).await.code(), 0);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(send(&service, &token, &message).await.code(), 0);
    assert_eq!(service.messages().len(), 5, "its interval is over");
}

//! A robot of DingTalk.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::fakes::chat::{Mentions, Scripted};
use crate::fakes::dingtalk::{DingTalk, Robot, sign};
use crate::{post, post_as, soon};

const JSON: &str = "application/json;charset=utf-8";

fn text(content: &str) -> Value {
    json!({"msgtype": "text", "text": {"content": content}})
}

fn markdown(title: &str, text: &str) -> Value {
    json!({"msgtype": "markdown", "markdown": {"title": title, "text": text}})
}

/// The URL of a request signed at this time, encoded as a URL needs it.
fn signed(service: &DingTalk, secret: &str, milliseconds: &str) -> String {
    let sign = sign(secret, milliseconds);
    let sign = sign.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("{}&timestamp={milliseconds}&sign={sign}", service.url())
}

#[test]
fn signatures_are_those_of_the_documentation() {
    for (secret, at, expected) in [
        ("this is secret", "1577808000000", "ijHEivi6YiCNPZOq4hZstmvZ3sPfbioAiMhP30ae7W0="),
        (
            "SEC000000000000000000000",
            "1700000000000",
            "1zJ/w34EOSVAYr7cu7Vo8LnebmK2/GrCgegtr8mQrqM=",
        ),
        ("SECtest", "1700000000000", "aZLLrriXgn05YbwaGR7knYsLeJADjr9NwLaNNKpxh4g="),
    ] {
        assert_eq!(sign(secret, at), expected);
    }
}

#[tokio::test]
async fn a_message_is_kept_as_people_see_it() {
    let service = DingTalk::start(Robot::default()).await;
    let both = json!({
        "msgtype": "markdown", "text": {"content": ""},
        "markdown": {"title": "Pod web", "text": "**BackOff** @1801 <b>\n\nbéla"},
        "at": {"atMobiles": ["1801", "1802"], "isAtAll": false},
    });
    assert_eq!(post(&service.url(), &both).await.error(), (0, "ok".into()));
    assert_eq!(post(&service.url(), &text("hello")).await.code(), 0);
    let messages = service.messages();
    assert_eq!(messages[0].kind, "markdown");
    assert_eq!(messages[0].title, "Pod web");
    assert_eq!(messages[0].text, "**BackOff** @1801 <b>\n\nbéla");
    let mentions = Mentions { everyone: false, members: vec!["1801".into()] };
    assert_eq!(messages[0].mentions, mentions, "the text does not name the other one");
    assert_eq!(messages[0].body, both.to_string().as_bytes());
    assert_eq!((messages[1].title.as_str(), messages[1].text.as_str()), ("", "hello"));
    assert!(service.refusals().is_empty());
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let service = DingTalk::start(Robot::default()).await;
    let elsewhere = service.url().replace("token=", "token=another-");
    assert_eq!(post(&elsewhere, &text("a")).await.code(), 300_001);
    for content_type in ["text/plain", "application/json; charset=gbk"] {
        let answer = post_as(&service.url(), content_type, text("a").to_string()).await;
        assert_eq!(answer.code(), 43004, "{content_type}");
    }
    for (code, message) in [
        (40035, text("")),
        (40035, text(" \n")),
        (40035, json!({"msgtype": "text"})),
        (40035, json!({"msgtype": "text", "text": {"content": 7}})),
        (40035, json!({"text": {"content": "a"}})),
        (40035, markdown("", "a")),
        (40035, markdown("a", "")),
        (40035, json!({"msgtype": "text", "text": {"content": "a"}, "at": {"atMobiles": [1]}})),
        (40035, json!({"msgtype": "actionCard", "actionCard": {"title": "a", "text": "b"}})),
        (400_105, json!({"msgtype": "post", "post": {"content": "a"}})),
    ] {
        assert_eq!(post(&service.url(), &message).await.code(), code, "{message}");
    }
    assert_eq!(post_as(&service.url(), JSON, "{\"msgtype\":").await.code(), 40035);
    let path = service.url().replace("robot", "robots");
    assert_eq!(post(&path, &text("a")).await.status, 404);
    assert!(service.messages().is_empty());
    assert_eq!(service.refusals().len(), 15);
}

#[tokio::test]
async fn the_body_has_at_most_20000_bytes() {
    let service = DingTalk::start(Robot::default()).await;
    let frame = text("").to_string().len();
    let fits = format!("{}é", "a".repeat(20_000 - frame - 2));
    assert_eq!(post(&service.url(), &text(&fits)).await.code(), 0);
    let answer = post(&service.url(), &text(&format!("{fits}a"))).await;
    assert_eq!(answer.error(), (460_101, "message too long, exceed 20000 bytes".into()));
}

#[tokio::test]
async fn a_signature_is_fresh_and_right() {
    let secret = "SEC000000000000000000000";
    let service = DingTalk::start(Robot { secret: Some(secret.into()), ..Robot::default() }).await;
    let now = Timestamp::now().as_millisecond();
    let at = |minutes: i64| (now + minutes * 60_000).to_string();
    assert_eq!(post(&signed(&service, secret, &at(0)), &text("a")).await.code(), 0);
    assert_eq!(post(&signed(&service, secret, &at(-59)), &text("a")).await.code(), 0);
    for minutes in [-61, 61] {
        let answer = post(&signed(&service, secret, &at(minutes)), &text("a")).await;
        assert_eq!(answer.error(), (310_000, "invalid timestamp".into()));
    }
    let seconds = (now / 1000).to_string();
    let answer = post(&signed(&service, secret, &seconds), &text("a")).await;
    assert_eq!(answer.error(), (310_000, "invalid timestamp".into()));
    let answer = post(&signed(&service, "another", &at(0)), &text("a")).await;
    assert_eq!(answer.error(), (310_000, "sign not match".into()));
    let mut later = (now..).map(|at| at.to_string());
    let plus = later.find(|at| sign(secret, at).contains('+')).expect("there are some");
    let raw = format!("{}&timestamp={plus}&sign={}", service.url(), sign(secret, &plus));
    let answer = post(&raw, &text("a")).await;
    assert_eq!(answer.error(), (310_000, "sign not match".into()), "a raw + is a space");
    let then = Timestamp::from_second(1_700_000_000).expect("a time");
    service.clock_is(then.duration_since(Timestamp::now()));
    assert_eq!(post(&signed(&service, secret, "1700000000000"), &text("a")).await.code(), 0);
    service.clock_is(SignedDuration::from_hours(2));
    let answer = post(&signed(&service, secret, &at(0)), &text("a")).await;
    assert_eq!(answer.error(), (310_000, "invalid timestamp".into()));
}

#[tokio::test]
async fn security_settings_are_310000_in_english_or_chinese() {
    for chinese in [false, true] {
        let keyword = Some("relay".to_owned());
        let unsafe_link = Some("evil.example".to_owned());
        let service =
            DingTalk::start(Robot { keyword, unsafe_link, chinese, ..Robot::default() }).await;
        let (code, words) = post(&service.url(), &text("a")).await.error();
        assert_eq!(code, 310_000);
        let expected =
            if chinese { "description:关键词不匹配" } else { "keywords not in content" };
        assert!(words.starts_with(expected), "{words}");
        assert_eq!(post(&service.url(), &markdown("relay", "a")).await.code(), 0);
        let answer = post(&service.url(), &text("relay http://evil.example")).await;
        assert_eq!(answer.code(), 430_101);
        service.refuse_ip(true);
        assert_eq!(post(&service.url(), &text("relay")).await.code(), 310_000);
        service.refuse_ip(false);
        assert_eq!(post(&service.url(), &text("relay")).await.code(), 0);
        service.disable(true);
        assert_eq!(post(&service.url(), &text("relay")).await.code(), 400_102);
    }
}

#[tokio::test]
async fn one_too_many_is_followed_by_a_penalty() {
    let service = DingTalk::start(Robot::default()).await;
    for _ in 0..20 {
        assert_eq!(post(&service.url(), &text("a")).await.code(), 0);
        assert_eq!(post(&service.url(), &text("")).await.code(), 40035, "it does not count");
    }
    let answer = post(&service.url(), &text("a")).await.json();
    assert_eq!(answer["errcode"], 130_101);
    assert_eq!(answer["status"], 1111);
    assert_eq!(answer["wait"], 5);
    assert_eq!(answer["punish"], "deny");
    assert_eq!(post(&service.url(), &text("")).await.code(), 130_101, "all is refused");
    assert_eq!(service.messages().len(), 20);
}

#[tokio::test]
async fn the_window_and_the_penalty_are_of_real_time() {
    let service = DingTalk::start(Robot::default()).await;
    service.limit(1, Duration::from_secs(1));
    service.penalty(Duration::from_secs(2));
    assert_eq!(post(&service.url(), &text("a")).await.code(), 0);
    assert_eq!(post(&service.url(), &text("b")).await.code(), 130_101);
    while post(&service.url(), &text("c")).await.code() != 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (messages, refusals) = (service.messages(), service.refusals());
    let penalty = messages[1].instant.duration_since(refusals[0].instant);
    assert!(penalty > Duration::from_millis(1900), "{penalty:?}");
}

#[tokio::test]
async fn it_answers_as_told_and_then_strictly() {
    let mut service = DingTalk::start(Robot::default()).await;
    service.answer_next(2, Scripted::Code(-1, "system busy"));
    let body = "<html>".to_owned();
    service.answer_next(1, Scripted::Http { status: 502, headers: Vec::new(), body });
    assert_eq!(post(&service.url(), &text("a")).await.error(), (-1, "system busy".into()));
    assert_eq!(post(&service.url(), &text("a")).await.code(), -1);
    assert_eq!(post(&service.url(), &text("a")).await.status, 502);
    assert_eq!(post(&service.url(), &text("")).await.code(), 40035);
    assert_eq!(service.refused_codes(), [-1, -1, 502, 40035]);
    service.stop().await;
    let client = kube_event_relay::sink::http_client().expect("CA certificates of the system");
    assert!(client.post(service.url()).send().await.is_err());
    service.start_again();
    assert_eq!(post(&service.url(), &text("a")).await.code(), 0);
}

#[tokio::test]
async fn a_test_can_wait_for_messages_and_break_connections() {
    let service = DingTalk::start(Robot::default()).await;
    service.answer_next(1, Scripted::Break);
    service.answer_next(1, Scripted::Silence);
    let client = kube_event_relay::sink::http_client().expect("CA certificates of the system");
    let send =
        || client.post(service.url()).header("content-type", JSON).body(text("a").to_string());
    let broken = async {
        match send().send().await {
            Ok(response) => response.bytes().await.is_err(),
            Err(_) => true,
        }
    };
    assert!(soon(broken).await);
    assert_eq!(soon(service.until(|messages| messages.len() == 1)).await[0].text, "a");
    let silence = tokio::time::timeout(Duration::from_millis(300), send().send()).await;
    assert!(silence.is_err());
    soon(service.until_refused(|refusals| refusals.len() == 1)).await;
    assert_eq!(service.messages().len(), 1);
}

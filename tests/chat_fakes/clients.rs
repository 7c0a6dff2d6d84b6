//! The fakes understand what clients say that others wrote, and the clients understand them: the
//! fakes are not merely our own reading of the documentation.
//!
//! What each client is told to send is in `tests/clients/`.

use std::time::Duration;

use serde_json::json;

use crate::fakes::chat::Message;
use crate::fakes::clients::{Report, run};
use crate::fakes::dingtalk::{self, DingTalk};
use crate::fakes::feishu::{self, Feishu};
use crate::fakes::slack::{Hook, Slack};
use crate::fakes::teams::{self, Teams};
use crate::fakes::wecom_app::{App, WeComApp};
use crate::fakes::wecom_robot::{self, WeComRobot};

/// What a client said of this message.
fn said<'a>(reports: &'a [Report], message: &str) -> (bool, &'a str) {
    let report = reports.iter().find(|report| report.message == message).expect("a report");
    (report.success, &report.words)
}

/// The messages of which a client said that they failed.
fn failures(reports: &[Report]) -> Vec<&str> {
    reports.iter().filter(|report| !report.success).map(|report| &*report.message).collect()
}

fn shown(messages: &[Message]) -> Vec<(&str, &str)> {
    messages.iter().map(|message| (message.title.as_str(), message.text.as_str())).collect()
}

#[tokio::test]
async fn of_dingtalk() {
    let (secret, keyword) = ("SEC000000000000000000000".to_owned(), "relay".to_owned());
    let robot = dingtalk::Robot {
        secret: Some(secret.clone()),
        keyword: Some(keyword),
        ..dingtalk::Robot::default()
    };
    let service = DingTalk::start(robot).await;
    let token = "apprise".to_owned();
    let unsigned = DingTalk::start(dingtalk::Robot { token, ..dingtalk::Robot::default() }).await;
    let secret_alone = dingtalk::Robot {
        token: "apprise".into(),
        secret: Some(secret.clone()),
        ..dingtalk::Robot::default()
    };
    let signed = DingTalk::start(secret_alone).await;
    let settings = json!({
        "url": service.url(), "secret": secret, "token": "apprise",
        "unsigned": unsigned.base_url(), "signed": signed.base_url(),
    });
    let reports = run("dingtalk", settings).await;
    let messages = service.messages();
    assert_eq!(messages[0].text, "容器 web <重启> & relay\n@18012345678");
    assert_eq!(messages[0].mentions.members, ["18012345678"]);
    assert!(messages[1].mentions.everyone);
    assert_eq!(shown(&messages)[2], ("Pod web", "#### Pod web\n\n- **BackOff** relay"));
    assert_eq!(messages[3].text.len(), 19_906);
    assert_eq!(messages[4].kind, "actionCard");
    assert_eq!(messages.len(), 5);
    assert_eq!(service.refused_codes(), [460_101, 310_000, 400_105, 310_000]);
    assert_eq!(failures(&reports), ["too long", "no keyword", "image", "wrong secret"]);
    assert_eq!(said(&reports, "wrong secret"), (false, "sign not match"));
    let expected = [("", "Pod web\r\n容器"), ("Pod web", "# Pod web\n- **BackOff**")];
    assert_eq!(shown(&unsigned.messages()), expected);
    // Apprise encodes its signature twice, which DingTalk refuses, and does not look at the answer.
    assert!(said(&reports, "apprise signed").0);
    assert_eq!(signed.refused_codes(), [310_000]);
}

#[tokio::test]
async fn of_a_wecom_robot() {
    let service = WeComRobot::start(wecom_robot::Robot::default()).await;
    let robot = wecom_robot::Robot { takes_escapes: true, ..wecom_robot::Robot::default() };
    let lenient = WeComRobot::start(robot).await;
    let key = wecom_robot::Robot::default().key;
    let settings = json!({
        "url": service.url(), "lenient": lenient.url(), "base": service.base_url(), "key": key,
    });
    let reports = run("wecom_robot", settings).await;
    let messages = service.messages();
    assert_eq!(messages[0].text, "Pod web & <b>");
    assert_eq!(messages[0].mentions.members, ["zhang", "18012345678"]);
    assert!(messages[0].mentions.everyone);
    assert_eq!(messages[1].kind, "markdown_v2");
    assert_eq!(messages[1].text, "# Pod web\n| a | b |\n| - | - |\n| 1 | 2 |");
    assert_eq!(messages[2].text.len(), 4096);
    assert_eq!(messages[3].text, "Pod web");
    assert_eq!(messages.len(), 4);
    assert_eq!(service.refused_codes(), [40058, 44004, 93000, 40033]);
    assert_eq!(failures(&reports), ["too long", "empty", "wrong key", "chinese"]);
    assert_eq!(lenient.messages()[0].text, "容器");
}

#[tokio::test]
async fn of_a_wecom_app() {
    let app = App::default();
    let settings = |base: String| {
        json!({
            "base": base, "corp": app.corp_id, "secret": app.secret, "agent": app.agent_id,
        })
    };
    let service = WeComApp::start(App::default()).await;
    let reports = run("wecom_app", settings(service.base_url())).await;
    let messages = service.messages();
    assert_eq!(messages[0].text, "容器 web <重启>");
    assert_eq!(messages[0].receivers, ["zhang", "li"]);
    assert_eq!(messages[1].receivers, ["zhang", "li"]);
    assert_eq!(messages[2].receivers, ["li"]);
    assert_eq!(said(&reports, "some"), (true, "nobody"));
    assert_eq!(messages[3].text, "é".repeat(1024));
    assert_eq!(messages[4].kind, "markdown");
    assert_eq!(messages[5].text, "Pod db", "after a new token");
    assert_eq!(messages.len(), 6);
    assert_eq!(service.refused_codes(), [81013, 44004, 40056, 40014]);
    assert_eq!(failures(&reports), ["nobody", "empty", "wrong agent", "wrong secret"]);
    assert!(said(&reports, "wrong secret").1.contains("40001"), "{reports:?}");
    assert_eq!(service.token_requests(), 3, "one is kept for seven messages");
}

#[tokio::test]
async fn of_slack() {
    let hook = Hook { token: "token0".into(), ..Hook::default() };
    let service = Slack::start(hook.clone()).await;
    service.limit(1000, Duration::from_secs(1));
    let slow = Slack::start(hook).await;
    slow.limit(1, Duration::from_secs(60));
    let settings = json!({"url": service.url(), "slow": slow.url(), "base": service.base_url()});
    let reports = run("slack", settings).await;
    let messages = service.messages();
    assert_eq!(messages[0].text, "容器 <web> & @channel");
    assert!(messages[0].mentions.everyone);
    assert_eq!(shown(&messages)[1], ("Pod web", "*BackOff* & more"));
    assert_eq!(messages[2].text.len(), 40_000);
    assert_eq!(messages[3].text, "Pod web\na <b> & c");
    assert_eq!(messages.len(), 4);
    assert_eq!(service.refused_codes(), [400, 400, 403]);
    let failed = ["nothing", "too many blocks", "wrong token", "second"];
    assert_eq!(failures(&reports), failed);
    assert_eq!(said(&reports, "nothing").1, "no_text");
    assert_eq!(said(&reports, "too many blocks").1, "invalid_blocks");
    let wait: u64 = said(&reports, "retry after").1.parse().expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
}

#[tokio::test]
async fn of_feishu() {
    let (secret, keyword) = ("demo".to_owned(), "relay".to_owned());
    let robot = feishu::Robot {
        secret: Some(secret.clone()),
        keyword: Some(keyword),
        ..feishu::Robot::default()
    };
    let service = Feishu::start(robot).await;
    let unsigned = Feishu::start(feishu::Robot::default()).await;
    for service in [&service, &unsigned] {
        service.limit(100, Duration::from_secs(1));
    }
    let settings = json!({
        "url": service.url(), "secret": secret,
        "base": unsigned.base_url(), "token": feishu::Robot::default().token,
    });
    let reports = run("feishu", settings).await;
    let messages = service.messages();
    assert_eq!(messages[0].mentions.members, ["ou_1"]);
    assert_eq!(shown(&messages)[1], ("Pod web", "**BackOff** relay <at id=all></at>"));
    assert!(messages[1].mentions.everyone);
    assert_eq!(messages[2].text.len(), 19_806);
    assert_eq!(messages.len(), 3);
    assert_eq!(service.refused_codes(), [9499, 19024, 19021, 19021]);
    let failed = ["too long", "no keyword", "wrong secret", "no secret", "apprise too long"];
    assert_eq!(failures(&reports), failed);
    assert_eq!(shown(&unsigned.messages()), [("", "Pod web\n容器"), ("Pod web", "**BackOff**")]);
    assert_eq!(unsigned.refused_codes(), [9499]);
}

#[tokio::test]
async fn of_teams() {
    let connector = Teams::start(teams::Hook::connector()).await;
    let workflow = Teams::start(teams::Hook::default()).await;
    for service in [&connector, &workflow] {
        service.limit(100, Duration::from_secs(1));
    }
    let teams::Hook { id, sig, .. } = teams::Hook::default();
    let settings = json!({
        "connector": connector.url(), "address": workflow.base_url(), "id": id, "sig": sig,
    });
    let reports = run("teams", settings).await;
    let messages = connector.messages();
    assert_eq!(shown(&messages)[0], ("Pod web", "容器 **BackOff**"));
    assert_eq!(messages[1].text.len(), 27_900);
    assert_eq!(connector.refused_codes(), [413, 400]);
    assert_eq!(said(&reports, "card"), (true, "1"));
    let (success, words) = said(&reports, "too long");
    assert!(success && words.contains("HTTP error 413"), "pymsteams does not read it: {words}");
    let failed = ["nothing", "workflow, too long", "workflow, wrong signature"];
    assert_eq!(failures(&reports), failed);
    let messages = workflow.messages();
    assert_eq!(shown(&messages), [("Pod web", "容器 **BackOff** <at>29:1</at>")]);
    assert_eq!(messages[0].mentions.members, ["29:1"]);
    assert_eq!(workflow.refused_codes(), [413, 401]);
}

//! The sinks whose readers are people, each with a service on a local port.

use async_trait::async_trait;
use kube_event_relay::sink::Sink;
use kube_event_relay::sink::registry;
use serde_json::{Value, json};

use crate::fakes::http::{Absent, Answer, Received, Service};
use crate::{Behaviour, Fixture, context};

/// Any of the chat sinks.
pub(crate) struct ChatFixture {
    kind: &'static str,
    address: std::net::SocketAddr,
    service: Option<Service>,
    absent: Option<Absent>,
}

impl ChatFixture {
    pub(crate) async fn start(kind: &'static str) -> Self {
        let service = Service::start().await;
        service.answer(accepts(kind));
        Self { kind, address: service.address(), service: Some(service), absent: None }
    }

    /// Messages, without requests for a token.
    fn received(&self) -> Vec<Received> {
        let received = self.service.as_ref().map(Service::received).unwrap_or_default();
        received.into_iter().filter(|request| !request.body.is_empty()).collect()
    }

    fn shown(&self, request: &Received) -> String {
        let body: Value = serde_json::from_slice(&request.body).expect("JSON");
        let pointers: &[&str] = match self.kind {
            "dingtalk" | "wechat" => &["/text/content"],
            "wecom-robot" => &["/markdown/content"],
            "feishu" => {
                let post = &body["content"]["post"]["zh_cn"];
                let text = |text: &Value| text.as_str().expect("text").to_owned();
                let lines = post["content"].as_array().expect("lines").iter();
                let lines = lines.map(|line| text(&line[0]["text"]));
                let all: Vec<_> = std::iter::once(text(&post["title"])).chain(lines).collect();
                return all.join("\n");
            }
            "slack" => &["/text"],
            _ => &["/attachments/0/content/body/0/text", "/attachments/0/content/body/1/text"],
        };
        let text = |pointer: &&str| body.pointer(pointer).and_then(Value::as_str).expect("text");
        pointers.iter().map(text).collect::<Vec<_>>().join("\n")
    }
}

/// What the service says when all is well.
fn accepts(kind: &str) -> Answer {
    let text = match kind {
        "feishu" => json!({"code": 0, "msg": "success"}).to_string(),
        "slack" => "ok".to_owned(),
        "teams" => String::new(),
        _ => json!({"errcode": 0, "errmsg": "ok", "access_token": "s3cret-token", "expires_in": 7200})
            .to_string(),
    };
    Answer::Text(if kind == "teams" { 202 } else { 200 }, text)
}

#[async_trait]
impl Fixture for ChatFixture {
    fn sink(&self) -> Box<dyn Sink> {
        let Value::Object(options) = self.options() else { panic!("an object") };
        let kind = registry::find(self.kind).expect("a kind");
        (kind.build)(&options, &context()).expect("a sink")
    }

    async fn behave(&mut self, behaviour: Behaviour) -> bool {
        if behaviour == Behaviour::GoneAway {
            self.absent = Some(self.service.take().expect("it runs").stop().await);
            return true;
        }
        if let Some(absent) = self.absent.take() {
            self.service = Some(absent.start());
        }
        let service = self.service.as_ref().expect("it runs");
        service.answer(match behaviour {
            Behaviour::Accepts | Behaviour::GoneAway => accepts(self.kind),
            // A digest shows the newest message of a thing only, so nobody could refuse another one.
            Behaviour::RefusesPoison => return false,
            Behaviour::NotNow => Answer::Status(503, vec![("retry-after", "7".to_owned())]),
            Behaviour::WrongCredential => Answer::Status(401, Vec::new()),
            Behaviour::Hangs => Answer::Silence,
        });
        true
    }

    /// A message names the version of its newest record, and a digest how many there are in a row.
    fn arrived(&self) -> Vec<String> {
        let mut versions = Vec::new();
        for request in self.received() {
            let text = self.shown(&request);
            let newest = digits_behind(&text, "message ").unwrap_or(1);
            let many = text.contains("things") || text.contains("thing, ");
            let count = digits_behind(&text, "×").filter(|_| many).unwrap_or(1);
            versions.extend((newest + 1 - count..=newest).map(|version| version.to_string()));
        }
        versions
    }

    fn deliveries(&self) -> Vec<String> {
        let text = |request: Received| String::from_utf8(request.body).expect("UTF-8");
        self.received().into_iter().map(text).collect()
    }

    fn options(&self) -> Value {
        let url = format!("http://{}/hook/s3cret-path?access_token=s3cret-token", self.address);
        match self.kind {
            "wechat" => json!({
                "url": format!("http://{}", self.address),
                "corpId": "ww1",
                "corpSecret": "s3cret-secret",
                "agentId": 7,
                "labels": ["prod"],
            }),
            "dingtalk" => json!({"url": url, "sign": "SECs3cret", "labels": ["prod"]}),
            _ => json!({"url": url, "labels": ["prod"]}),
        }
    }

    fn secrets(&self) -> &'static [&'static str] {
        &["s3cret"]
    }
}

fn digits_behind(text: &str, sign: &str) -> Option<u64> {
    let (_, behind) = text.split_once(sign)?;
    let digits: String = behind.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

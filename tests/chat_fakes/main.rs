//! The fakes of chat services are as strict as the services: their signatures, schemas, limits and
//! words. One file per service, and one with clients that others wrote.

#![allow(clippy::expect_used)]

#[path = "../fakes/mod.rs"]
mod fakes;

mod clients;
mod dingtalk;
mod feishu;
mod slack;
mod teams;
mod wecom_app;
mod wecom_robot;
mod window;

use std::time::Duration;

use kube_event_relay::sink::http_client;
use serde_json::Value;

/// What a service answered.
struct Answer {
    status: u16,
    retry_after: Option<String>,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a JSON answer")
    }

    /// The error code with its text, of the services that have them.
    fn error(&self) -> (i64, String) {
        assert_eq!(self.status, 200, "{}", self.body);
        let json = self.json();
        let code = json.get("errcode").or(json.get("code")).and_then(Value::as_i64);
        let text = json.get("errmsg").or(json.get("msg")).and_then(Value::as_str);
        (code.expect("a code"), text.expect("a text").to_owned())
    }

    fn code(&self) -> i64 {
        self.error().0
    }
}

/// Posts a JSON message.
async fn post(url: &str, message: &Value) -> Answer {
    post_as(url, "application/json", message.to_string()).await
}

async fn post_as(url: &str, content_type: &str, body: impl Into<String>) -> Answer {
    let client = http_client().expect("CA certificates of the system");
    let request = client.post(url).header("content-type", content_type).body(body.into());
    answer(request.send().await.expect("an answer")).await
}

async fn get(url: &str) -> Answer {
    let client = http_client().expect("CA certificates of the system");
    answer(client.get(url).send().await.expect("an answer")).await
}

async fn answer(response: reqwest::Response) -> Answer {
    let header = response.headers().get("retry-after");
    Answer {
        status: response.status().as_u16(),
        retry_after: header.map(|value| value.to_str().expect("text").to_owned()),
        body: response.text().await.expect("a whole body"),
    }
}

/// Fails instead of waiting without end.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("it happens soon")
}

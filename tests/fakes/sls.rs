//! The Log Service of Alibaba Cloud, as strict as its documentation: `POST /logstores/NAME/shards/lb`.
//!
//! | check | HTTP, errorCode |
//! |---|---|
//! | `x-log-apiversion`, `x-log-bodyrawsize`, `x-log-compresstype` are as they must be | 400 `ParameterInvalid` |
//! | the signature, V4 or V1, its date within 15 minutes, the security token | 401 `SignatureNotMatch`, 400 `RequestTimeTooSkewed`, 401 `Unauthorized` |
//! | the project and the logstore exist | 404 `ProjectNotExist`, `LogStoreNotExist` |
//! | the body is a block of LZ4 with a `LogGroup` of at most 4,096 logs and 3 MB | 400 `PostBodyInvalid`, `PostBodyTooLarge` |
//! | no log is older than seven days, or more than 15 minutes ahead | 400 `PostBodyInvalid` |
//!
//! One log that is refused refuses all. It also plays the metadata service of a machine.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::http::Method;
use hmac::{Hmac, Mac};
use jiff::{SignedDuration, Timestamp};
use md5::Md5;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::protobuf::{Field, fields};
use super::service::{Answered, Call, Handler, Reply, Server};
use super::signature::hmac_sha1_base64;

/// Fields of a log, in order.
pub type Log = Vec<(String, String)>;

/// A log that was stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    pub time: i64,
    pub topic: String,
    pub fields: Log,
}

/// Keys that the service knows.
#[derive(Clone, Debug)]
pub struct Keys {
    pub id: String,
    pub secret: String,
    pub token: Option<String>,
}

/// The service with one project and one logstore.
pub struct Sls {
    server: Server,
    state: Arc<State>,
}

struct State {
    keys: Mutex<Keys>,
    stored: Mutex<Vec<Stored>>,
    scripted: Mutex<VecDeque<(u16, &'static str)>>,
    /// It refuses a request with a log that contains this.
    poison: Mutex<Option<&'static str>>,
    /// The quota is used up, and begins anew after so many seconds.
    exceeded: Mutex<Option<u64>>,
    role_requests: Mutex<usize>,
    /// It knows signature V1 only.
    is_old: Mutex<bool>,
}

pub const PROJECT: &str = "proj";
pub const LOG_STORE: &str = "events";
pub const REGION: &str = "cn-hangzhou";

impl Sls {
    pub async fn start(keys: Keys) -> Self {
        let state = Arc::new(State {
            keys: Mutex::new(keys),
            stored: Mutex::default(),
            scripted: Mutex::default(),
            poison: Mutex::default(),
            exceeded: Mutex::default(),
            role_requests: Mutex::default(),
            is_old: Mutex::default(),
        });
        let handler: Arc<dyn Handler> = Arc::clone(&state) as _;
        Self { server: Server::start(handler).await, state }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub fn stored(&self) -> Vec<Stored> {
        self.state.stored.lock().expect("not poisoned").clone()
    }

    /// Only these keys are valid from now on.
    pub fn rotate(&self, keys: Keys) {
        *self.state.keys.lock().expect("not poisoned") = keys;
    }

    /// It takes no signature but V1 from now on.
    pub fn be_old(&self) {
        *self.state.is_old.lock().expect("not poisoned") = true;
    }

    /// The next requests are refused so.
    pub fn refuse_next(&self, times: usize, status: u16, code: &'static str) {
        let mut scripted = self.state.scripted.lock().expect("not poisoned");
        scripted.extend(std::iter::repeat_n((status, code), times));
    }

    /// A request with a log that contains this text is refused.
    pub fn refuse_logs(&self, poison: &'static str) {
        *self.state.poison.lock().expect("not poisoned") = Some(poison);
    }

    /// The quota of its shards is used up for so many seconds, or is not.
    pub fn exceed(&self, seconds: Option<u64>) {
        *self.state.exceeded.lock().expect("not poisoned") = seconds;
    }

    /// Every request that was answered, in order.
    pub fn answered(&self) -> Vec<Answered> {
        self.server.answered()
    }

    /// How often the keys of the role were asked for.
    pub fn role_requests(&self) -> usize {
        *self.state.role_requests.lock().expect("not poisoned")
    }
}

impl Handler for State {
    fn answer(&self, call: &Call) -> Reply {
        if call.path.starts_with("/latest/") {
            return self.metadata(call);
        }
        if let Some((status, code)) = self.scripted.lock().expect("not poisoned").pop_front() {
            return refusal(status, code, "as told");
        }
        if let Some(seconds) = *self.exceeded.lock().expect("not poisoned") {
            let refusal = refusal(403, "ShardWriteQuotaExceed", "shard write quota exceed");
            return refusal.with("retry-after", &seconds);
        }
        match self.store(call) {
            Ok(logs) => {
                self.stored.lock().expect("not poisoned").extend(logs);
                Reply::text(200, "").with("x-log-requestid", &"1")
            }
            Err((status, code, reason)) => refusal(status, code, &reason),
        }
    }
}

type Refused = (u16, &'static str, String);

impl State {
    fn store(&self, call: &Call) -> Result<Vec<Stored>, Refused> {
        let header = |name: &str| {
            call.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        let invalid = |what: &str| Err((400, "ParameterInvalid", what.to_owned()));
        if call.method != Method::POST || header("content-type") != "application/x-protobuf" {
            return invalid("method or content type");
        }
        if header("x-log-apiversion") != "0.6.0" || header("x-log-compresstype") != "lz4" {
            return invalid("version or compression");
        }
        self.check_signature(call)?;
        if header("x-log-project") != PROJECT && !header("host").starts_with("proj.") {
            return Err((404, "ProjectNotExist", "the project does not exist".into()));
        }
        if call.path != format!("/logstores/{LOG_STORE}/shards/lb") {
            return Err((404, "LogStoreNotExist", "the logstore does not exist".into()));
        }
        let raw: usize = header("x-log-bodyrawsize").parse().unwrap_or_default();
        if raw > 3_000_000 {
            return Err((400, "PostBodyTooLarge", "body size exceeds 3 MB".into()));
        }
        let logs = logs(&call.body, raw).ok_or((400, "PostBodyInvalid", "no LogGroup".into()))?;
        let now = Timestamp::now().as_second();
        let outside = |log: &Stored| !(now - 7 * 86_400..=now + 900).contains(&log.time);
        if logs.len() > 4_096 || logs.iter().any(outside) {
            return Err((400, "PostBodyInvalid", "the post data time is out of range".into()));
        }
        let poison = *self.poison.lock().expect("not poisoned");
        let has = |log: &Stored, text| log.fields.iter().any(|(_, value)| value.contains(text));
        if poison.is_some_and(|poison| logs.iter().any(|log| has(log, poison))) {
            return Err((400, "PostBodyInvalid", "a log is invalid".into()));
        }
        Ok(logs)
    }

    fn check_signature(&self, call: &Call) -> Result<(), Refused> {
        let keys = self.keys.lock().expect("not poisoned").clone();
        let headers: BTreeMap<String, String> = call
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
            .collect();
        let header = |name: &str| headers.get(name).map(String::as_str).unwrap_or_default();
        if header("x-acs-security-token") != keys.token.as_deref().unwrap_or_default() {
            return Err((401, "Unauthorized", "the security token is invalid".into()));
        }
        if header("authorization").starts_with("LOG ") {
            return check_v1(call, &headers, &keys);
        }
        if *self.is_old.lock().expect("not poisoned") {
            return Err((401, "SignatureNotMatch", "signature V1 expected".into()));
        }
        let date = header("x-log-date");
        check_date("%Y%m%dT%H%M%SZ", date)?;
        let hash = hex(&Sha256::digest(&call.body));
        let signed: Vec<_> = headers
            .iter()
            .filter(|(name, _)| {
                name.starts_with("x-log-")
                    || name.starts_with("x-acs-")
                    || ["host", "content-type"].contains(&name.as_str())
            })
            .collect();
        let lines: Vec<_> =
            signed.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let lines = lines.concat();
        let names: Vec<_> = signed.iter().map(|(name, _)| name.as_str()).collect();
        let canonical = format!("POST\n{}\n\n{lines}\n{}\n{hash}", call.path, names.join(";"));
        let day = &date[..date.len().min(8)];
        let scope = format!("{day}/{REGION}/sls/aliyun_v4_request");
        let text = format!(
            "SLS4-HMAC-SHA256\n{date}\n{scope}\n{}",
            hex(&Sha256::digest(canonical.as_bytes()))
        );
        let key = [day, REGION, "sls", "aliyun_v4_request"]
            .iter()
            .fold(format!("aliyun_v4{}", keys.secret).into_bytes(), |key, part| {
                mac(&key, part.as_bytes())
            });
        let expected = format!(
            "SLS4-HMAC-SHA256 Credential={}/{scope},Signature={}",
            keys.id,
            hex(&mac(&key, text.as_bytes()))
        );
        if header("x-log-content-sha256") != hash || header("authorization") != expected {
            return Err((401, "SignatureNotMatch", format!("signature {expected} expected")));
        }
        Ok(())
    }

    /// The metadata service, in its second version.
    fn metadata(&self, call: &Call) -> Reply {
        const TOKEN: &str = "metadata-token";
        if call.method == Method::PUT && call.path == "/latest/api/token" {
            return Reply::text(200, TOKEN);
        }
        let token = call.headers.get("x-aliyun-ecs-metadata-token");
        if token.is_none_or(|token| token != TOKEN) {
            return Reply::text(403, "no token");
        }
        match call.path.as_str() {
            "/latest/meta-data/region-id" => Reply::text(200, REGION),
            "/latest/meta-data/ram/security-credentials/" => Reply::text(200, "worker"),
            "/latest/meta-data/ram/security-credentials/worker" => {
                *self.role_requests.lock().expect("not poisoned") += 1;
                let keys = self.keys.lock().expect("not poisoned").clone();
                let expires = Timestamp::now() + SignedDuration::from_hours(6);
                let body = json!({
                    "AccessKeyId": keys.id, "AccessKeySecret": keys.secret,
                    "SecurityToken": keys.token, "Expiration": expires.to_string(), "Code": "Success",
                });
                Reply::json(200, &body)
            }
            _ => Reply::text(404, "not found"),
        }
    }
}

/// The date is one, and within 15 minutes of now.
fn check_date(format: &str, date: &str) -> Result<(), Refused> {
    let at = jiff::fmt::strtime::parse(format, date)
        .and_then(|time| time.to_datetime())
        .and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC));
    let Ok(at) = at else { return Err((400, "InvalidDateFormat", "there is no date".into())) };
    let age = Timestamp::now().duration_since(at.timestamp()).abs();
    if age > SignedDuration::from_mins(15) {
        return Err((400, "RequestTimeTooSkewed", "the clock is wrong".into()));
    }
    Ok(())
}

/// Signature V1 ("Request signatures" of the API reference): upper-case digest, date, headers of the service, path.
fn check_v1(call: &Call, headers: &BTreeMap<String, String>, keys: &Keys) -> Result<(), Refused> {
    let header = |name: &str| headers.get(name).map(String::as_str).unwrap_or_default();
    if header("x-log-signaturemethod") != "hmac-sha1" {
        return Err((400, "ParameterInvalid", "x-log-signaturemethod".into()));
    }
    check_date("%a, %d %b %Y %H:%M:%S GMT", header("date"))?;
    let digest = hex(&Md5::digest(&call.body)).to_ascii_uppercase();
    let of_service =
        headers.iter().filter(|(name, _)| name.starts_with("x-log-") || name.starts_with("x-acs-"));
    let lines: Vec<_> = of_service.map(|(name, value)| format!("{name}:{value}\n")).collect();
    let text = format!(
        "POST\n{digest}\n{}\n{}\n{}{}",
        header("content-type"),
        header("date"),
        lines.concat(),
        call.path
    );
    let expected = format!("LOG {}:{}", keys.id, hmac_sha1_base64(&keys.secret, &text));
    if header("content-md5") != digest || header("authorization") != expected {
        return Err((401, "SignatureNotMatch", format!("signature {expected} expected")));
    }
    Ok(())
}

fn refusal(status: u16, code: &str, reason: &str) -> Reply {
    Reply::json(status, &json!({"errorCode": code, "errorMessage": reason}))
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

/// The logs of a request: a block of LZ4 with a protocol buffer, read without any library for those.
pub fn logs(body: &[u8], raw_size: usize) -> Option<Vec<Stored>> {
    let bytes = lz4_flex::block::decompress(body, raw_size).ok()?;
    let group = fields(&bytes)?;
    let topic = group.iter().find(|(tag, _)| *tag == 3).map(|(_, value)| value.text());
    let topic = topic.unwrap_or_default()?;
    let log = |value: &Field| {
        let parts = fields(value.bytes()?)?;
        let time = parts.iter().find(|(tag, _)| *tag == 1)?.1.number()?;
        let pairs = parts.iter().filter(|(tag, _)| *tag == 2).map(|(_, value)| {
            let pair = fields(value.bytes()?)?;
            let part = |wanted| pair.iter().find(|(tag, _)| *tag == wanted)?.1.text();
            Some((part(1)?, part(2)?))
        });
        let fields: Option<Log> = pairs.collect();
        Some(Stored { time: i64::try_from(time).ok()?, topic: topic.clone(), fields: fields? })
    };
    group.iter().filter(|(tag, _)| *tag == 1).map(|(_, value)| log(value)).collect()
}

//! How a kube-apiserver says no: an object of kind `Status`.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::history::Expired;

/// A refusal, as an HTTP answer or as an item of a watch.
#[derive(Debug)]
pub(super) struct Failure {
    code: StatusCode,
    reason: &'static str,
    message: String,
}

impl Failure {
    pub(super) fn bad_request(message: &str) -> Self {
        Self { code: StatusCode::BAD_REQUEST, reason: "BadRequest", message: message.to_owned() }
    }

    pub(super) fn not_found(what: &str) -> Self {
        Self {
            code: StatusCode::NOT_FOUND,
            reason: "NotFound",
            message: format!("{what} not found"),
        }
    }

    /// The words and the 504 of a kube-apiserver.
    pub(super) fn too_large(version: u64, latest: u64) -> Self {
        Self {
            code: StatusCode::GATEWAY_TIMEOUT,
            reason: "Timeout",
            message: format!("Too large resource version: {version}, current: {latest}"),
        }
    }

    pub(super) fn status(&self) -> Value {
        json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code.as_u16(),
        })
    }
}

impl From<Expired> for Failure {
    fn from(_: Expired) -> Self {
        Self {
            code: StatusCode::GONE,
            reason: "Expired",
            message: "The provided resourceVersion or continue token is too old.".to_owned(),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.code, Json(self.status())).into_response()
    }
}

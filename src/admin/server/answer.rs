//! Forms of answers.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

/// The body of every failed request under `/api`.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::admin) struct Failure {
    /// One line for the operator.
    pub(in crate::admin) error: String,
}

/// A failed request.
pub(super) struct Refusal(pub(super) StatusCode, pub(super) String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(Failure { error: self.1 })).into_response()
    }
}

/// Prometheus' text format.
pub(super) fn metrics(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

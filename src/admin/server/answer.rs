//! Forms of answers.

use std::marker::PhantomData;

use aide::OperationOutput;
use aide::generate::GenContext;
use aide::openapi::{Operation, Response as Documented};
use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::relay::{ControlError, ReplayError};

/// The body of every failed request under `/api`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(in crate::admin) struct Failure {
    /// One line for the operator.
    pub(in crate::admin) error: String,
}

/// A failed request.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) StatusCode, pub(super) String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut answer = (self.0, Json(Failure { error: self.1 })).into_response();
        if self.0 == StatusCode::UNAUTHORIZED {
            let value = header::HeaderValue::from_static("Bearer");
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, value);
        }
        answer
    }
}

impl OperationOutput for Refusal {
    type Inner = Failure;

    fn operation_response(
        context: &mut GenContext,
        operation: &mut Operation,
    ) -> Option<Documented> {
        Json::<Failure>::operation_response(context, operation)
    }

    fn inferred_responses(
        context: &mut GenContext,
        operation: &mut Operation,
    ) -> Vec<(Option<u16>, Documented)> {
        let response = Self::operation_response(context, operation);
        // For every status that is not described on its own.
        response.map(|response| (None, response)).into_iter().collect()
    }
}

impl From<ControlError> for Refusal {
    fn from(error: ControlError) -> Self {
        let code = match error {
            ControlError::UnknownSink { .. }
            | ControlError::UnknownStream { .. }
            | ControlError::UnknownLetter { .. }
            | ControlError::Replay(ReplayError::Unknown(_)) => StatusCode::NOT_FOUND,
            ControlError::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
            ControlError::Configured(_)
            | ControlError::Paused(_)
            | ControlError::Replay(ReplayError::Ended(_) | ReplayError::TooMany(_)) => {
                StatusCode::CONFLICT
            }
            ControlError::Busy => StatusCode::TOO_MANY_REQUESTS,
            ControlError::Selection(_) | ControlError::Replay(_) => StatusCode::BAD_REQUEST,
            ControlError::NotRunning => StatusCode::SERVICE_UNAVAILABLE,
            ControlError::Sink { .. } | ControlError::Log(_) | ControlError::Interrupted => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Self(code, error.to_string())
    }
}

/// In the document: an answer of one JSON object per line.
pub(super) struct Lines<T>(PhantomData<T>);

impl<T: JsonSchema + Serialize> OperationOutput for Lines<T> {
    type Inner = T;

    fn operation_response(
        context: &mut GenContext,
        operation: &mut Operation,
    ) -> Option<Documented> {
        let mut response = Json::<T>::operation_response(context, operation)?;
        let form = response.content.shift_remove("application/json")?;
        // What a line is, not what all of them are: a program that checks the form has lines to check.
        response.content.insert("application/x-ndjson".to_owned(), form);
        Some(response)
    }
}

/// Prometheus' text format.
pub(super) fn metrics(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

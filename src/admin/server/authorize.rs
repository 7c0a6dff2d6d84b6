//! Who may change the relay: whoever knows the token.

use std::net::SocketAddr;
use std::sync::Arc;

use aide::OperationInput;
use aide::generate::GenContext;
use aide::openapi::Operation;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::Context;
use super::answer::Refusal;
use crate::admin::Operations;

/// Name of the scheme in the document of the API.
pub(super) const SCHEME: &str = "token";

/// Whoever asks for a change, admitted.
pub(super) struct Operator {
    /// Their address.
    pub(super) from: String,
}

impl<O: Operations> FromRequestParts<Arc<Context<O>>> for Operator {
    type Rejection = Refusal;

    async fn from_request_parts(
        parts: &mut Parts,
        context: &Arc<Context<O>>,
    ) -> Result<Self, Refusal> {
        let presented = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let presented = presented.and_then(bearer);
        let place = context.admin.token.path().display();
        let Some(presented) = presented else {
            let text = format!(
                "changes, and dry runs of them, need the token in {place}: name the file with --token-file, or \
                 send the header `Authorization: Bearer TOKEN`"
            );
            return Err(Refusal(StatusCode::UNAUTHORIZED, text));
        };
        match context.admin.token.admits(presented) {
            Ok(true) => {}
            Ok(false) => {
                let text = format!("this is not the token; it is in {place}");
                return Err(Refusal(StatusCode::FORBIDDEN, text));
            }
            Err(error) => return Err(Refusal(StatusCode::SERVICE_UNAVAILABLE, error.to_string())),
        }
        let address = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let from = address.map_or_else(|| "unknown".to_owned(), |info| info.0.to_string());
        Ok(Self { from })
    }
}

/// Schemes are not case sensitive (RFC 9110, section 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

impl OperationInput for Operator {
    fn operation_input(_context: &mut GenContext, operation: &mut Operation) {
        operation.security.push([(SCHEME.to_owned(), Vec::new())].into_iter().collect());
    }
}

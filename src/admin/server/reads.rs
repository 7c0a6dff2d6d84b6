//! What can be asked. Reads are open to whoever reaches the listener.

use std::sync::Arc;

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::Context;
use super::answer::Refusal;
use super::extract::Path;
use crate::admin::Operations;
use crate::cursor::AuditEntry;
use crate::event::ResourceVersion;
use crate::relay::{CursorStatus, FoundRecord, LookupError, Status, Verification, VerifyRefusal};

type Shared<O> = State<Arc<Context<O>>>;

/// The sink a path names.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct SinkPath {
    /// Name of the sink.
    pub(super) sink: String,
}

/// The version a path names.
#[derive(Debug, Deserialize, JsonSchema)]
struct VersionPath {
    /// A resourceVersion: digits.
    #[schemars(regex(pattern = r"^[1-9][0-9]{0,254}$"))]
    resource_version: String,
}

pub(super) fn routes<O: Operations>() -> ApiRouter<Arc<Context<O>>> {
    ApiRouter::new()
        .api_route(
            "/api/v1/status",
            get_with(status::<O>, |op| {
                op.id("status").tag("relay").summary("Everything there is to see")
            }),
        )
        .api_route(
            "/api/v1/cursors",
            get_with(cursors::<O>, |op| {
                op.id("cursors").tag("cursors").summary("How far every sink has got")
            }),
        )
        .api_route(
            "/api/v1/cursors/{sink}",
            get_with(cursors_of::<O>, |op| {
                op.id("cursorsOfSink").tag("cursors").summary("How far one sink has got")
            }),
        )
        .api_route(
            "/api/v1/log/verify",
            get_with(verify::<O>, |op| {
                op.id("verifyLog").tag("log").summary("Read the whole log, and say what is damaged").description(
                    "Takes its time, for one at a time. Damage is moved aside and read again from the API server.",
                )
            }),
        )
        .api_route(
            "/api/v1/log/record/{resource_version}",
            get_with(record::<O>, |op| {
                op.id("record").tag("log").summary("The record with this resourceVersion")
            }),
        )
        .api_route(
            "/api/v1/audit",
            get_with(audit::<O>, |op| {
                op.id("audit").tag("relay").summary("What operators have changed, oldest first")
            }),
        )
}

async fn status<O: Operations>(State(context): Shared<O>) -> Result<Json<Status>, Refusal> {
    ask(context, O::status).await.map(Json)
}

async fn cursors<O: Operations>(
    State(context): Shared<O>,
) -> Result<Json<Vec<CursorStatus>>, Refusal> {
    let status = ask(context, O::status).await?;
    Ok(Json(status.into_cursors().into_iter().flat_map(|(_, cursors)| cursors).collect()))
}

async fn cursors_of<O: Operations>(
    State(context): Shared<O>,
    Path(SinkPath { sink }): Path<SinkPath>,
) -> Result<Json<Vec<CursorStatus>>, Refusal> {
    let cursors = ask(context, O::status).await?.into_cursors();
    let known = cursors.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    let found = cursors.into_iter().find(|(name, _)| *name == sink);
    found.map(|(_, cursors)| Json(cursors)).ok_or_else(|| {
        Refusal(StatusCode::NOT_FOUND, format!("there is no sink {sink:?}; there are: {known}"))
    })
}

/// Ends early when whoever asked hangs up.
async fn verify<O: Operations>(State(context): Shared<O>) -> Result<Json<Verification>, Refusal> {
    let stop = CancellationToken::new();
    let _hangs_up = stop.clone().drop_guard();
    let verified = ask(context, move |relay| relay.verify(&stop)).await?;
    verified.map(Json).map_err(|refusal| {
        let code = match refusal {
            VerifyRefusal::Busy => StatusCode::CONFLICT,
            VerifyRefusal::NotRunning => StatusCode::SERVICE_UNAVAILABLE,
            VerifyRefusal::Log(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Refusal(code, refusal.to_string())
    })
}

async fn record<O: Operations>(
    State(context): Shared<O>,
    Path(VersionPath { resource_version: version }): Path<VersionPath>,
) -> Result<Json<FoundRecord>, Refusal> {
    let Ok(version) = version.parse::<ResourceVersion>() else {
        let text = format!("{version:?} is not a resourceVersion; write digits, such as 4711");
        return Err(Refusal(StatusCode::BAD_REQUEST, text));
    };
    context.relay.record(&version).await.map(Json).map_err(|error| {
        let code = match error {
            LookupError::NotFound { .. } => StatusCode::NOT_FOUND,
            LookupError::NotRunning => StatusCode::SERVICE_UNAVAILABLE,
            LookupError::Log(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Refusal(code, error.to_string())
    })
}

async fn audit<O: Operations>(State(context): Shared<O>) -> Result<Json<Vec<AuditEntry>>, Refusal> {
    Ok(Json(context.relay.running()?.changes()))
}

/// Asks the relay on a thread that may block, because a status may look at the disk.
pub(super) async fn ask<O: Operations, T: Send + 'static>(
    context: Arc<Context<O>>,
    question: impl FnOnce(&O) -> T + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(move || question(&context.relay)).await.map_err(|_| {
        let text = "the relay did not answer; its log says why".to_owned();
        Refusal(StatusCode::INTERNAL_SERVER_ERROR, text)
    })
}

//! What is served under which path.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::Context;
use super::answer::{self, Refusal};
use crate::admin::{Operations, health};
use crate::event::ResourceVersion;
use crate::relay::{
    CursorStatus, FoundRecord, LookupError, SinkStatus, Status, Verification, VerifyRefusal,
};

type Shared<O> = State<Arc<Context<O>>>;

pub(super) fn all<O: Operations>(context: Arc<Context<O>>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/healtz", get(healtz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/api/v1/status", get(status))
        .route("/api/v1/cursors", get(cursors))
        .route("/api/v1/cursors/{sink}", get(cursors_of))
        .route("/api/v1/log/verify", get(verify))
        .route("/api/v1/log/record/{resource_version}", get(record))
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .with_state(context)
}

/// kube-eventer's check, under the spelling it has always had.
async fn healtz<O: Operations>(State(context): Shared<O>) -> Result<Response, Refusal> {
    let (status, alive) = ask(context, |relay| (relay.status(), relay.alive())).await?;
    let stuck = alive.err().or_else(|| health::stalled(&status, Timestamp::now()));
    Ok(match stuck {
        None => "ok".into_response(),
        Some(reason) => {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("error: {reason}\n")).into_response()
        }
    })
}

async fn readyz<O: Operations>(
    State(context): Shared<O>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, Refusal> {
    let (status, ready) = ask(context, |relay| (relay.status(), relay.ready())).await?;
    let code = if ready.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let text = if query.contains_key("verbose") {
        health::checks(&status, &ready)
    } else {
        ready.map_or_else(|reasons| reasons + "\n", |()| "ok".to_owned())
    };
    Ok((code, text).into_response())
}

async fn metrics<O: Operations>(State(context): Shared<O>) -> Response {
    answer::metrics(context.metrics.render())
}

async fn status<O: Operations>(State(context): Shared<O>) -> Result<Json<Status>, Refusal> {
    ask(context, O::status).await.map(Json)
}

async fn cursors<O: Operations>(
    State(context): Shared<O>,
) -> Result<Json<Vec<CursorStatus>>, Refusal> {
    let status = ask(context, O::status).await?;
    Ok(Json(status.sinks.into_iter().flat_map(|sink| sink.cursors).collect()))
}

async fn cursors_of<O: Operations>(
    State(context): Shared<O>,
    Path(sink): Path<String>,
) -> Result<Json<Vec<CursorStatus>>, Refusal> {
    let status = ask(context, O::status).await?;
    let known = status.sinks.iter().map(|sink| sink.name.as_str()).collect::<Vec<_>>().join(", ");
    let found: Option<SinkStatus> = status.sinks.into_iter().find(|known| known.name == sink);
    found.map(|sink| Json(sink.cursors)).ok_or_else(|| {
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
    Path(version): Path<String>,
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

/// Asks the relay on a thread that may block, because a status may look at the disk.
async fn ask<O: Operations, T: Send + 'static>(
    context: Arc<Context<O>>,
    question: impl FnOnce(&O) -> T + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(move || question(&context.relay)).await.map_err(|_| {
        let text = "the relay did not answer; its log says why".to_owned();
        Refusal(StatusCode::INTERNAL_SERVER_ERROR, text)
    })
}

async fn unknown_path(uri: Uri) -> Refusal {
    Refusal(StatusCode::NOT_FOUND, format!("there is nothing at {}", uri.path()))
}

async fn wrong_method(method: Method, uri: Uri) -> Refusal {
    let text = format!("{} does not take {method}; use GET", uri.path());
    Refusal(StatusCode::METHOD_NOT_ALLOWED, text)
}

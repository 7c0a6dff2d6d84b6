//! What is served under which path.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;

use super::answer::{self, Refusal};
use super::reads::ask;
use super::{Context, changes, document, letters, page, reads, records, replays};
use crate::admin::{Operations, health};

type Shared<O> = State<Arc<Context<O>>>;

pub(super) fn all<O: Operations>(context: Arc<Context<O>>) -> Router {
    let mut description = document::begun();
    let api = reads::routes()
        .merge(changes::routes())
        .merge(replays::routes())
        .merge(letters::routes())
        .merge(records::routes())
        .finish_api(&mut description);
    let description = Arc::new(document::ended(description));
    api.merge(page::routes())
        .route("/healthz", get(async || "ok"))
        .route("/healtz", get(healtz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/api/v1/openapi.json", get(async move || Json(description)))
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
    answer::metrics(context.admin.metrics.render())
}

async fn unknown_path(uri: Uri) -> Refusal {
    Refusal(StatusCode::NOT_FOUND, format!("there is nothing at {}", uri.path()))
}

async fn wrong_method(method: Method, uri: Uri) -> Refusal {
    let text = format!("{} does not take {method}", uri.path());
    Refusal(StatusCode::METHOD_NOT_ALLOWED, text)
}

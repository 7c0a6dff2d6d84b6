//! Dead letters: lists of them, one of them, and what operators do with them.

use std::sync::Arc;

use aide::axum::ApiRouter;
use aide::axum::routing::{get_with, post_with};
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Context;
use super::answer::Refusal;
use super::authorize::Operator;
use super::changes::DryRun;
use super::extract::{Body, Path, Query};
use super::reads::SinkPath;
use crate::admin::Operations;
use crate::relay::{LetterChange, LetterPage, LetterQuery, LetterSelection, LetterView};

type Shared<O> = State<Arc<Context<O>>>;

/// The letter a path names.
#[derive(Debug, Deserialize, JsonSchema)]
struct LetterPath {
    /// Name of the sink.
    sink: String,
    /// `STREAM/GENERATION.RV` with `%2F` for the slash, or the resourceVersion where only one letter has it.
    id: String,
}

pub(super) fn routes<O: Operations>() -> ApiRouter<Arc<Context<O>>> {
    ApiRouter::new()
        .api_route(
            "/api/v1/dead-letters/{sink}",
            get_with(list::<O>, |op| {
                op.id("deadLetters").tag("dead letters").summary("What a sink has refused for good")
            }),
        )
        .api_route(
            "/api/v1/dead-letters/{sink}/{id}",
            get_with(show::<O>, |op| {
                op.id("deadLetter").tag("dead letters").summary("One of them, with its record")
            }),
        )
        .api_route(
            "/api/v1/dead-letters/{sink}/retry",
            post_with(retry::<O>, |op| {
                op.id("retryDeadLetters").tag("dead letters").summary("Hand a portion of them over again").description(
                    "At most a hundred, in order, within the sink's rate limit. What the sink takes is removed, what it \
                     refuses stays. Ask again with `next` as `after`, and the same `asOf`, until there is no `next`. \
                     A crash in between hands a record over twice.",
                )
            }),
        )
        .api_route(
            "/api/v1/dead-letters/{sink}/discard",
            post_with(discard::<O>, |op| {
                op.id("discardDeadLetters").tag("dead letters").summary("Remove a portion of them for good").description(
                    "At most a thousand. Ask again as for a retry.",
                )
            }),
        )
}

async fn list<O: Operations>(
    State(context): Shared<O>,
    Path(SinkPath { sink }): Path<SinkPath>,
    Query(query): Query<LetterQuery>,
) -> Result<Json<LetterPage>, Refusal> {
    Ok(Json(context.relay.running()?.letters(&sink, &query).await?))
}

async fn show<O: Operations>(
    State(context): Shared<O>,
    Path(LetterPath { sink, id }): Path<LetterPath>,
) -> Result<Json<LetterView>, Refusal> {
    Ok(Json(context.relay.running()?.letter(&sink, &id).await?))
}

async fn retry<O: Operations>(
    State(context): Shared<O>,
    operator: Operator,
    Path(SinkPath { sink }): Path<SinkPath>,
    Query(dry_run): Query<DryRun>,
    Body(selection): Body<LetterSelection>,
) -> Result<Json<LetterChange>, Refusal> {
    let relay = context.relay.running()?;
    Ok(Json(relay.retry_letters(&sink, &selection, &operator.order(dry_run)).await?))
}

async fn discard<O: Operations>(
    State(context): Shared<O>,
    operator: Operator,
    Path(SinkPath { sink }): Path<SinkPath>,
    Query(dry_run): Query<DryRun>,
    Body(selection): Body<LetterSelection>,
) -> Result<Json<LetterChange>, Refusal> {
    let relay = context.relay.running()?;
    Ok(Json(relay.discard_letters(&sink, &selection, &operator.order(dry_run)).await?))
}

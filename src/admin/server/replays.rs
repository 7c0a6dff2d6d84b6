//! Replays: which there are, a new one, and the end of one. Changes need the token.

use std::sync::Arc;

use aide::axum::ApiRouter;
use aide::axum::routing::{delete_with, get_with};
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Context;
use super::answer::Refusal;
use super::authorize::Operator;
use super::changes::DryRun;
use super::extract::{Body, Path, Query};
use crate::admin::Operations;
use crate::relay::{Change, ReplayRequest, ReplayStatus, Replayed};

type Shared<O> = State<Arc<Context<O>>>;

/// The replay a path names.
#[derive(Debug, Deserialize, JsonSchema)]
struct ReplayPath {
    /// Number of the replay.
    number: u64,
}

pub(super) fn routes<O: Operations>() -> ApiRouter<Arc<Context<O>>> {
    ApiRouter::new()
        .api_route(
            "/api/v1/replays",
            get_with(list::<O>, |op| {
                op.id("replays").tag("replays").summary("What is sent again, oldest first")
                    .description("Of the replays that have ended, the latest are shown.")
            })
            .post_with(start::<O>, |op| {
                op.id("startReplay").tag("replays").summary("Send a range of the log to a sink again").description(
                    "It is sent beside the live stream, whose cursor does not move. One replay of a sink runs at a \
                     time; the others wait.",
                )
            }),
        )
        .api_route(
            "/api/v1/replays/{number}",
            delete_with(cancel::<O>, |op| {
                op.id("cancelReplay").tag("replays").summary("End a replay").description(
                    "What of it is under way may still arrive.",
                )
            }),
        )
}

async fn list<O: Operations>(
    State(context): Shared<O>,
) -> Result<Json<Vec<ReplayStatus>>, Refusal> {
    Ok(Json(context.relay.running()?.replays()))
}

async fn start<O: Operations>(
    State(context): Shared<O>,
    operator: Operator,
    Query(dry_run): Query<DryRun>,
    Body(request): Body<ReplayRequest>,
) -> Result<Json<Replayed>, Refusal> {
    Ok(Json(context.relay.running()?.replay(&request, &operator.order(dry_run)).await?))
}

async fn cancel<O: Operations>(
    State(context): Shared<O>,
    operator: Operator,
    Path(ReplayPath { number }): Path<ReplayPath>,
    Query(dry_run): Query<DryRun>,
) -> Result<Json<Change>, Refusal> {
    let relay = context.relay.running()?;
    Ok(Json(relay.cancel_replay(number, &operator.order(dry_run)).await?))
}

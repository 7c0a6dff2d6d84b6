//! What changes the relay. Everything here needs the token.

use std::sync::Arc;

use aide::axum::ApiRouter;
use aide::axum::routing::{delete_with, post_with};
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Context;
use super::answer::Refusal;
use super::authorize::Operator;
use super::extract::{Body, Path, Query};
use super::reads::SinkPath;
use crate::admin::Operations;
use crate::event::StreamId;
use crate::relay::{Change, Order, Target};
use crate::sink::Trial;

type Shared<O> = State<Arc<Context<O>>>;
type Changed = Result<Json<Change>, Refusal>;

/// Whether only to say what would happen.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(in crate::admin) struct DryRun {
    /// Whether nothing is done.
    pub(in crate::admin) dry_run: bool,
}

/// A query without parameters: one that somebody relied on must not be passed over.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct NoParameters {}

/// Where cursors are to stand.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::admin) struct Seek {
    /// The place.
    pub(in crate::admin) to: Target,
    /// In this stream only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::admin) stream: Option<StreamId>,
}

pub(super) fn routes<O: Operations>() -> ApiRouter<Arc<Context<O>>> {
    ApiRouter::new()
        .api_route(
            "/api/v1/cursors/{sink}/seek",
            post_with(seek::<O>, |op| {
                op.id("seekCursor").tag("cursors").summary("Move the cursors of a sink").description(
                    "Moving back delivers again, moving forward skips. The sink is halted meanwhile.",
                )
            }),
        )
        .api_route(
            "/api/v1/cursors/{sink}",
            delete_with(forget::<O>, |op| {
                op.id("forgetCursor").tag("cursors").summary("Forget a sink that is not configured any more")
            }),
        )
        .api_route(
            "/api/v1/config/reload",
            post_with(reload::<O>, |op| {
                op.id("reloadConfig").tag("relay").summary("Read the configuration file again").description(
                    "Sinks are taken over; a file that is not accepted changes nothing.",
                )
            }),
        )
        .api_route(
            "/api/v1/sinks/{sink}/pause",
            post_with(pause::<O>, |op| {
                op.id("pauseSink").tag("sinks").summary("Stop deliveries to a sink until they are resumed")
            }),
        )
        .api_route(
            "/api/v1/sinks/{sink}/resume",
            post_with(resume::<O>, |op| {
                op.id("resumeSink").tag("sinks").summary("Let a sink go on").description(
                    "One that is held or waits tries again at once.",
                )
            }),
        )
        .api_route(
            "/api/v1/sinks/{sink}/test",
            post_with(test::<O>, |op| {
                op.id("testSink").tag("sinks").summary("Send one event marked as a test through a sink")
            }),
        )
}

impl Operator {
    pub(super) fn order(self, DryRun { dry_run }: DryRun) -> Order {
        Order { from: self.from, dry_run }
    }
}

async fn seek<O: Operations>(
    State(context): Shared<O>,
    operator: Operator,
    Path(SinkPath { sink }): Path<SinkPath>,
    Query(dry_run): Query<DryRun>,
    Body(Seek { to, stream }): Body<Seek>,
) -> Changed {
    let relay = context.relay.running()?;
    Ok(Json(relay.seek(&sink, stream.as_ref(), &to, &operator.order(dry_run)).await?))
}

async fn forget<O: Operations>(
    State(context): Shared<O>,
    operator: Operator,
    Path(SinkPath { sink }): Path<SinkPath>,
    Query(dry_run): Query<DryRun>,
) -> Changed {
    Ok(Json(context.relay.running()?.forget(&sink, &operator.order(dry_run)).await?))
}

async fn reload<O: Operations>(
    State(context): Shared<O>,
    operator: Operator,
    Query(dry_run): Query<DryRun>,
) -> Changed {
    Ok(Json(context.admin.reloads.ask(operator.order(dry_run)).await?))
}

async fn pause<O: Operations>(
    State(context): Shared<O>,
    operator: Operator,
    Path(SinkPath { sink }): Path<SinkPath>,
    Query(dry_run): Query<DryRun>,
) -> Changed {
    Ok(Json(context.relay.running()?.pause(&sink, &operator.order(dry_run)).await?))
}

async fn resume<O: Operations>(
    State(context): Shared<O>,
    operator: Operator,
    Path(SinkPath { sink }): Path<SinkPath>,
    Query(dry_run): Query<DryRun>,
) -> Changed {
    Ok(Json(context.relay.running()?.resume(&sink, &operator.order(dry_run)).await?))
}

async fn test<O: Operations>(
    State(context): Shared<O>,
    operator: Operator,
    Path(SinkPath { sink }): Path<SinkPath>,
    Query(NoParameters {}): Query<NoParameters>,
) -> Result<Json<Trial>, Refusal> {
    let order = operator.order(DryRun::default());
    Ok(Json(context.relay.running()?.test(&sink, &order).await?))
}

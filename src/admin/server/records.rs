//! The records of the log: how many there are, and those that match, line by line.

use std::sync::Arc;

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;

use super::Context;
use super::answer::{Lines, Refusal};
use super::extract::Query;
use crate::admin::Operations;
use crate::relay::{CountQuery, LogStat, RecordCounts, RecordLine, RecordQuery, RecordStream};

type Shared<O> = State<Arc<Context<O>>>;

pub(super) fn routes<O: Operations>() -> ApiRouter<Arc<Context<O>>> {
    ApiRouter::new()
        .api_route(
            "/api/v1/log/stat",
            get_with(stat::<O>, |op| {
                op.id("logStat").tag("log").summary("What the log holds, in numbers")
            }),
        )
        .api_route(
            "/api/v1/log/counts",
            get_with(counts::<O>, |op| {
                op.id("countRecords").tag("log").summary("How many records there are of each reason, kind, …").description(
                    "Reads all of them, which takes its time. Four may ask at a time.",
                )
            }),
        )
        .api_route(
            "/api/v1/log/records",
            get_with(records::<O>, |op| {
                op.id("records").tag("log").summary("Records that match, one JSON object per line").description(
                    "From the oldest on; with `follow` it waits for more at the end. Four may ask at a time. \
                     A line with `notice` says what to know about those that follow, one with `error` why \
                     there are no more.",
                )
                .response_with::<200, Lines<RecordLine>, _>(|response| response.description("A line for each record."))
            }),
        )
}

async fn stat<O: Operations>(State(context): Shared<O>) -> Result<Json<LogStat>, Refusal> {
    context
        .relay
        .running()?
        .log_stat()
        .await
        .map(Json)
        .map_err(|error| Refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

async fn counts<O: Operations>(
    State(context): Shared<O>,
    Query(query): Query<CountQuery>,
) -> Result<Json<RecordCounts>, Refusal> {
    Ok(Json(context.relay.running()?.count_records(&query).await?))
}

async fn records<O: Operations>(
    State(context): Shared<O>,
    Query(query): Query<RecordQuery>,
) -> Result<Response, Refusal> {
    let found = context.relay.running()?.records(&query).await?;
    let body = Body::from_stream(stream::unfold(found, next));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// The next line. The reading ends when the body is dropped, which is when the client hangs up.
async fn next(mut found: RecordStream) -> Option<(serde_json::Result<Bytes>, RecordStream)> {
    let line = found.next().await?;
    let bytes = serde_json::to_vec(&line).map(|mut bytes| {
        bytes.push(b'\n');
        Bytes::from(bytes)
    });
    Some((bytes, found))
}

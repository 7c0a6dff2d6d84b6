//! The paths of the API server.

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::{BufMut, BytesMut};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::history::{Key, Page};
use super::store::EventStore;
use super::watch::{self, Watch};

/// The identity of the cluster: uid of its namespace `kube-system`.
const CLUSTER_UID: &str = "d3300000-5a5e-4b1d-9c0e-000000000001";

#[derive(Debug, Clone)]
struct Context {
    store: EventStore,
    stop: CancellationToken,
}

pub(super) fn all(store: EventStore, stop: CancellationToken) -> Router {
    Router::new()
        .route("/api/v1/events", get(everywhere))
        .route("/api/v1/namespaces/{namespace}/events", get(in_namespace))
        .route("/api/v1/namespaces/{namespace}", get(namespace))
        .fallback(async |uri: Uri| Failure::not_found(uri.path()))
        .with_state(Context { store, stop })
}

/// Parameters of list and watch.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Parameters {
    watch: String,
    resource_version: String,
    resource_version_match: String,
    limit: usize,
    #[serde(rename = "continue")]
    token: String,
    timeout_seconds: Option<u64>,
    field_selector: String,
    label_selector: String,
}

async fn everywhere(
    State(context): State<Context>,
    Query(parameters): Query<Parameters>,
) -> Result<Response, Failure> {
    events(&context, None, &parameters)
}

async fn in_namespace(
    State(context): State<Context>,
    Path(namespace): Path<String>,
    Query(parameters): Query<Parameters>,
) -> Result<Response, Failure> {
    events(&context, Some(namespace), &parameters)
}

async fn namespace(Path(name): Path<String>) -> Result<Json<Value>, Failure> {
    if name != "kube-system" {
        return Err(Failure::not_found(&format!("namespaces {name:?}")));
    }
    Ok(Json(json!({
        "kind": "Namespace",
        "apiVersion": "v1",
        "metadata": {"name": name, "uid": CLUSTER_UID, "resourceVersion": "4"},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    })))
}

fn events(
    context: &Context,
    namespace: Option<String>,
    parameters: &Parameters,
) -> Result<Response, Failure> {
    if !parameters.field_selector.is_empty() || !parameters.label_selector.is_empty() {
        return Err(Failure::bad_request("selectors are not supported by this API server"));
    }
    if !matches!(parameters.watch.as_str(), "1" | "true") {
        return list(&context.store, namespace.as_deref(), parameters);
    }
    let watch = Watch {
        store: context.store.clone(),
        namespace,
        after: version(&parameters.resource_version)?,
        timeout: parameters.timeout_seconds,
        stop: context.stop.clone(),
    };
    Ok((json_type(), Body::from_stream(watch::stream(watch))).into_response())
}

fn list(
    store: &EventStore,
    namespace: Option<&str>,
    parameters: &Parameters,
) -> Result<Response, Failure> {
    let history = store.history();
    let (version, after) = snapshot(parameters, history.latest())?;
    let limit = if parameters.limit == 0 { usize::MAX } else { parameters.limit };
    let page = history.list(version, namespace, after.as_ref(), limit)?;
    drop(history);
    Ok((StatusCode::OK, json_type(), write_list(version, &page)).into_response())
}

/// Which version a list shows, and after which key it goes on.
fn snapshot(parameters: &Parameters, latest: u64) -> Result<(u64, Option<Key>), Failure> {
    let asked = version(&parameters.resource_version)?;
    if !parameters.token.is_empty() {
        if asked.is_some() {
            let message = "specifying resource version is not allowed when using continue";
            return Err(Failure::bad_request(message));
        }
        let (version, key) = read_token(&parameters.token)
            .ok_or_else(|| Failure::bad_request("continue key is not valid"))?;
        return Ok((version, Some(key)));
    }
    match asked {
        Some(version) if version > latest => Err(Failure::too_large(version, latest)),
        Some(version) if is_exact(parameters) => Ok((version, None)),
        _ => Ok((latest, None)),
    }
}

/// A list with a limit and no match parameter shows exactly its version, for historical reasons.
fn is_exact(parameters: &Parameters) -> bool {
    match parameters.resource_version_match.as_str() {
        "Exact" => true,
        "" => parameters.limit > 0,
        _ => false,
    }
}

/// A resourceVersion; absent and 0 leave the choice to the server.
fn version(text: &str) -> Result<Option<u64>, Failure> {
    match text {
        "" | "0" => Ok(None),
        _ => text.parse().map(Some).map_err(|_| Failure::bad_request("invalid resource version")),
    }
}

fn write_list(version: u64, page: &Page) -> BytesMut {
    let token = page.more.as_ref().map(|key| write_token(version, key)).unwrap_or_default();
    let metadata = json!({"resourceVersion": version.to_string(), "continue": token});
    let mut answer = BytesMut::new();
    answer.put(&br#"{"kind":"EventList","apiVersion":"v1","metadata":"#[..]);
    answer.put(metadata.to_string().as_bytes());
    answer.put(&br#","items":["#[..]);
    for (index, body) in page.bodies.iter().enumerate() {
        if index > 0 {
            answer.put_u8(b',');
        }
        answer.put(body.as_ref());
    }
    answer.put(&b"]}"[..]);
    answer
}

/// Names hold no slash, so the three parts can be told apart.
fn write_token(version: u64, (namespace, name): &Key) -> String {
    format!("{version}/{namespace}/{name}")
}

fn read_token(token: &str) -> Option<(u64, Key)> {
    let mut parts = token.splitn(3, '/').map(str::to_owned);
    Some((parts.next()?.parse().ok()?, (parts.next()?, parts.next()?)))
}

fn json_type() -> [(header::HeaderName, &'static str); 1] {
    [(header::CONTENT_TYPE, "application/json")]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(query: &str) -> Parameters {
        let uri = format!("/?{query}").parse().expect("a URI");
        Query::try_from_uri(&uri).map(|Query(parameters)| parameters).expect("parameters")
    }

    fn code(query: &str) -> Result<u64, u64> {
        snapshot(&parameters(query), 100)
            .map(|(version, _)| version)
            .map_err(|failure| failure.status()["code"].as_u64().expect("a code"))
    }

    #[test]
    fn a_list_shows_the_version_kubernetes_would_show() {
        assert_eq!(code(""), Ok(100));
        assert_eq!(code("resourceVersion=0"), Ok(100));
        assert_eq!(code("resourceVersion=50"), Ok(100));
        assert_eq!(code("resourceVersion=50&limit=1"), Ok(50));
        assert_eq!(code("resourceVersion=50&resourceVersionMatch=Exact"), Ok(50));
        assert_eq!(code("resourceVersion=50&limit=1&resourceVersionMatch=NotOlderThan"), Ok(100));
        assert_eq!(code("resourceVersion=101"), Err(504));
        assert_eq!(code("resourceVersion=x"), Err(400));
        assert_eq!(code("continue=70/shop/web"), Ok(70));
        assert_eq!(code("continue=70/shop/web&resourceVersion=70"), Err(400));
        assert_eq!(code("continue=rubbish"), Err(400));
    }
}

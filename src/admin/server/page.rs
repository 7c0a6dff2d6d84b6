//! The web page: a view of the API for whoever has no terminal at hand.
//!
//! Invariants: it is part of the program and loads nothing from elsewhere, which browsers are told to see to;
//! it asks nothing but the documented API.

use axum::Router;
use axum::extract::Path;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::answer::Refusal;

/// Scripts, styles and requests are the relay's own; there is nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

const INDEX: &str = include_str!("../page/index.html");

/// Name, type and text of what the page consists of.
const FILES: [(&str, &str, &str); 8] = [
    ("page.css", STYLE, include_str!("../page/page.css")),
    ("page.js", SCRIPT, include_str!("../page/page.js")),
    ("api.js", SCRIPT, include_str!("../page/api.js")),
    ("changes.js", SCRIPT, include_str!("../page/changes.js")),
    ("dom.js", SCRIPT, include_str!("../page/dom.js")),
    ("events.js", SCRIPT, include_str!("../page/events.js")),
    ("letters.js", SCRIPT, include_str!("../page/letters.js")),
    ("sinks.js", SCRIPT, include_str!("../page/sinks.js")),
];

pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/", get(async || file(HTML, INDEX))).route("/page/{name}", get(named))
}

async fn named(Path(name): Path<String>, uri: Uri) -> Result<Response, Refusal> {
    let found = FILES.iter().find(|(known, ..)| *known == name);
    let (_, kind, text) = found.ok_or_else(|| {
        Refusal(StatusCode::NOT_FOUND, format!("there is nothing at {}", uri.path()))
    })?;
    Ok(file(kind, text))
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        // The relay may be updated while the page is open.
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_loads_nothing_from_elsewhere() {
        for (name, _, text) in FILES.into_iter().chain([("index.html", HTML, INDEX)]) {
            // Names of namespaces are no addresses.
            let text = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("http://") && !text.contains("https://"), "{name}");
            assert!(!text.contains("innerHTML"), "{name}: text is set as text");
        }
    }

    #[test]
    fn every_part_that_is_named_is_there() {
        let known = |name: &str| FILES.iter().any(|(known, ..)| *known == name);
        for part in INDEX.split("\"page/").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(known(part), "{part}");
        }
        for (name, _, text) in FILES {
            for part in text.split("from \"./").skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(known(part), "{name}: {part}");
            }
        }
    }
}

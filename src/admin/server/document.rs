//! The description of the API as `OpenAPI` 3.1, made from the code that serves it.

use aide::openapi::{Components, Info, OpenApi, ReferenceOr, SecurityScheme, Tag};

use super::authorize::SCHEME;

const ABOUT: &str = "Looks at a running relay and changes it. Reads are open to whoever reaches the listener; \
                     changes need the token, which is in the file `admin-token` of the data directory.";

/// The document before paths are added.
pub(super) fn begun() -> OpenApi {
    aide::generate::infer_responses(true);
    aide::generate::extract_schemas(true);
    OpenApi {
        info: Info {
            title: "kube-event-relay".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            description: Some(ABOUT.to_owned()),
            ..Info::default()
        },
        tags: ["relay", "sinks", "cursors", "replays", "dead letters", "log"].map(tag).into(),
        ..OpenApi::default()
    }
}

/// The document with its paths.
pub(super) fn ended(mut document: OpenApi) -> OpenApi {
    let scheme = SecurityScheme::Http {
        scheme: "bearer".to_owned(),
        bearer_format: None,
        description: Some("The text of the file `admin-token`.".to_owned()),
        extensions: indexmap::IndexMap::default(),
    };
    let components = document.components.get_or_insert_with(Components::default);
    components.security_schemes.insert(SCHEME.to_owned(), ReferenceOr::Item(scheme));
    document
}

fn tag(name: &str) -> Tag {
    Tag { name: name.to_owned(), ..Tag::default() }
}

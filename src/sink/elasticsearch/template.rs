//! The index template, for those who ask for one: the mapping kube-eventer gives its indexes, in the words
//! of today's versions, and the alias.
//!
//! Labels and annotations are kept but not indexed: their keys are anybody's, contradict each other
//! (`app` and `app.kubernetes.io/name`), and there may be more than an index takes.

use serde_json::{Map, Value, json};

use super::options::Options;
use super::product::Product;

/// Above the templates that Elasticsearch brings along, which have 100. The longer name wins, because
/// servers refuse two templates of one priority for one index (`a-*` and `a-b-*`).
const PRIORITY: usize = 200;

/// Of a term Lucene takes 32766 bytes, and a character has up to 4.
const LONGEST_TERM: u32 = 8191;

const KEYWORDS: [&str; 13] = [
    "EventTags.cluster_name",
    "EventTags.eventID",
    "EventTags.pod_id",
    "InvolvedObject.apiVersion",
    "InvolvedObject.kind",
    "InvolvedObject.resourceVersion",
    "InvolvedObject.uid",
    "Metadata.resourceVersion",
    "Metadata.selfLink",
    "Metadata.uid",
    "Reason",
    "Source.component",
    "Type",
];

/// Searched by word, with a `raw` form beside it to sort and count by.
const TEXTS: [&str; 9] = [
    "EventTags.hostname",
    "EventTags.pod_name",
    "InvolvedObject.fieldPath",
    "InvolvedObject.name",
    "InvolvedObject.namespace",
    "Message",
    "Metadata.name",
    "Metadata.namespace",
    "Source.host",
];

const DATES: [&str; 3] =
    ["FirstOccurrenceTimestamp", "LastOccurrenceTimestamp", "Metadata.creationTimestamp"];

const NOT_INDEXED: [&str; 2] = ["Metadata.annotations", "Metadata.labels"];

/// The interface for templates, and the body for it.
pub(super) fn template(options: &Options, product: Product) -> (&'static str, Value) {
    let pattern =
        if options.data_stream { options.index.clone() } else { options.index.clone() + "-*" };
    let aliases: Map<String, Value> =
        options.alias.iter().map(|alias| (alias.clone(), json!({}))).collect();
    let mut properties = properties();
    if options.data_stream {
        properties["@timestamp"] = json!({"type": "date"});
    }
    let mapping = json!({"properties": properties});
    if product.has_composable_templates() {
        let mut body = json!({
            "index_patterns": [pattern],
            "priority": PRIORITY + options.index.len(),
            "template": {"mappings": mapping, "aliases": aliases},
        });
        if options.data_stream {
            body["data_stream"] = json!({});
        }
        return ("_index_template", body);
    }
    let mapping = match product.document_type() {
        Some(document_type) => json!({document_type: mapping}),
        None => mapping,
    };
    ("_template", json!({"index_patterns": [pattern], "mappings": mapping, "aliases": aliases}))
}

fn properties() -> Value {
    let keyword = json!({"type": "keyword", "ignore_above": LONGEST_TERM});
    let text = json!({"type": "text", "fields": {"raw": keyword}});
    let date = json!({"type": "date", "format": "strict_date_optional_time||epoch_millis"});
    let ignored = json!({"type": "object", "enabled": false});
    let mut properties = json!({"Count": {"type": "long"}});
    let groups = [
        (&KEYWORDS[..], keyword.clone()),
        (&TEXTS[..], text),
        (&DATES[..], date),
        (&NOT_INDEXED[..], ignored),
    ];
    for (names, mapping) in groups {
        for name in names {
            match name.split_once('.') {
                Some((object, field)) => properties[object]["properties"][field] = mapping.clone(),
                None => properties[*name] = mapping.clone(),
            }
        }
    }
    properties
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(options: Value, product: Product) -> (&'static str, Value) {
        template(&serde_json::from_value(options).expect("options"), product)
    }

    #[test]
    fn every_version_gets_its_form() {
        let options = json!({"nodes": [], "index": "heapster", "alias": "heapster-events"});
        let (interface, body) = of(options.clone(), Product::OpenSearch);
        assert_eq!(interface, "_index_template");
        assert_eq!(
            (&body["index_patterns"], &body["priority"]),
            (&json!(["heapster-*"]), &json!(208))
        );
        assert_eq!(body["template"]["aliases"], json!({"heapster-events": {}}));
        let message = &body["template"]["mappings"]["properties"]["Message"];
        assert_eq!(message["fields"]["raw"]["type"], "keyword");
        let (interface, body) = of(options.clone(), Product::Elasticsearch(6, 8));
        assert_eq!(interface, "_template");
        assert_eq!(body["mappings"]["events"]["properties"]["Count"]["type"], "long");
        let (interface, body) = of(options, Product::Elasticsearch(7, 6));
        assert_eq!(interface, "_template");
        assert_eq!(body["mappings"]["properties"]["Count"]["type"], "long");
    }

    #[test]
    fn a_data_stream_is_one() {
        let options = json!({"nodes": [], "index": "events", "dataStream": true});
        let (_, body) = of(options, Product::Elasticsearch(8, 0));
        assert_eq!(body["index_patterns"], json!(["events"]));
        assert_eq!(body["data_stream"], json!({}));
        assert_eq!(body["template"]["mappings"]["properties"]["@timestamp"]["type"], "date");
    }
}

//! The body of a `_bulk` request.
//!
//! Invariant: the same record gets the same index and the same `_id` in every delivery, so that the server
//! knows a document that it has already. That is why the date in an index name is the event's own.

use jiff::tz::TimeZone;
use serde::Serialize;

use crate::event::Record;
use crate::sink::Outcome;

use super::document::{Document, Form};
use super::options::Options;
use super::product::Product;

/// What of a batch can be sent.
#[derive(Debug, Default)]
pub(super) struct Bulk {
    /// An action and a document for each, every line with its end.
    pub(super) body: Vec<u8>,
    /// Places in the batch of those in the body.
    pub(super) sent: Vec<usize>,
    /// Places of the others, which can never be sent, with the reason.
    pub(super) refused: Vec<(usize, Outcome)>,
    /// Names of the indexes, each once.
    pub(super) indexes: Vec<String>,
}

/// `create` refuses a second document with the same `_id`, and is all that data streams take.
#[derive(Serialize)]
struct Action<'a> {
    create: Place<'a>,
}

#[derive(Serialize)]
struct Place<'a> {
    #[serde(rename = "_index")]
    index: &'a str,
    #[serde(rename = "_type", skip_serializing_if = "Option::is_none")]
    document_type: Option<&'static str>,
    #[serde(rename = "_id")]
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pipeline: Option<&'a str>,
}

impl Bulk {
    /// The body for `batch`.
    pub(super) fn new(
        batch: &[Record],
        options: &Options,
        form: &Form,
        product: Product,
        cluster: &str,
    ) -> Self {
        let mut bulk = Self::default();
        for (place, record) in batch.iter().enumerate() {
            let added = form.document(record).and_then(|document| {
                let id = record.id(cluster).to_string();
                bulk.add(&document, id, options, product)
            });
            match added {
                Ok(()) => bulk.sent.push(place),
                Err(outcome) => bulk.refused.push((place, outcome)),
            }
        }
        bulk
    }

    fn add(
        &mut self,
        document: &Document,
        id: String,
        options: &Options,
        product: Product,
    ) -> Result<(), Outcome> {
        let index = index_of(document, options);
        let action = Action {
            create: Place {
                index: &index,
                document_type: product.document_type(),
                id,
                pipeline: options.pipeline.as_deref(),
            },
        };
        let action = serde_json::to_vec(&action).map_err(|error| Outcome::Rejected {
            reason: format!("it cannot be written as JSON: {error}"),
        })?;
        self.body.extend_from_slice(&action);
        self.body.push(b'\n');
        self.body.extend_from_slice(document.json.as_bytes());
        self.body.push(b'\n');
        if !self.indexes.contains(&index) {
            self.indexes.push(index);
        }
        Ok(())
    }
}

/// The data stream, or the index of the day on which it happened, in UTC.
fn index_of(document: &Document, options: &Options) -> String {
    if options.data_stream {
        return options.index.clone();
    }
    let day = document.time.to_zoned(TimeZone::UTC).strftime("%Y.%m.%d").to_string();
    if options.index_per_namespace {
        return format!("{}-{}-{day}", options.index, document.namespace);
    }
    format!("{}-{day}", options.index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::record;
    use serde_json::{Value, json};

    const LATE: &str =
        r#"{"metadata":{"namespace":"shop"},"lastTimestamp":"2024-04-30T23:59:59-01:00"}"#;

    fn bulk(batch: &[Record], more: &Value, product: Product) -> Bulk {
        let mut options = json!({"nodes": ["http://h"], "index": "heapster"});
        for (name, value) in more.as_object().expect("an object") {
            options[name] = value.clone();
        }
        let options: Options = serde_json::from_value(options).expect("options");
        let form = Form { cluster_name: "default".to_owned(), timestamp: options.data_stream };
        Bulk::new(batch, &options, &form, product, "test")
    }

    fn actions(bulk: &Bulk) -> Vec<&str> {
        let text = std::str::from_utf8(&bulk.body).expect("UTF-8");
        assert!(text.ends_with('\n'));
        text.lines().step_by(2).collect()
    }

    #[test]
    fn a_line_names_index_type_identity_and_pipeline() {
        let records = [record("7", LATE)];
        let id = records[0].id("test");
        for (options, product, expected) in [
            (
                json!({}),
                Product::OpenSearch,
                format!(r#"{{"create":{{"_index":"heapster-2024.05.01","_id":"{id}"}}}}"#),
            ),
            (
                json!({"indexPerNamespace": true, "pipeline": "p\"1"}),
                Product::Elasticsearch(8, 0),
                format!(
                    r#"{{"create":{{"_index":"heapster-shop-2024.05.01","_id":"{id}","pipeline":"p\"1"}}}}"#
                ),
            ),
            (
                json!({}),
                Product::Elasticsearch(6, 8),
                format!(
                    r#"{{"create":{{"_index":"heapster-2024.05.01","_type":"events","_id":"{id}"}}}}"#
                ),
            ),
            (
                json!({"dataStream": true}),
                Product::OpenSearch,
                format!(r#"{{"create":{{"_index":"heapster","_id":"{id}"}}}}"#),
            ),
        ] {
            let bulk = bulk(&records, &options, product);
            assert_eq!(actions(&bulk), [expected]);
        }
    }

    #[test]
    fn what_cannot_be_sent_does_not_stop_the_others() {
        let records = [record("7", LATE), record("8", "{"), record("9", LATE)];
        let bulk = bulk(&records, &json!({}), Product::OpenSearch);
        assert_eq!(bulk.sent, [0, 2]);
        assert_eq!(bulk.refused.len(), 1);
        assert_eq!(bulk.indexes, ["heapster-2024.05.01"]);
        assert_eq!(actions(&bulk).len(), 2);
    }
}

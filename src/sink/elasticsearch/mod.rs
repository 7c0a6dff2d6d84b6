//! The `elasticsearch` sink: documents in Elasticsearch 6 to 9 or `OpenSearch` 1 to 3, by `_bulk`.
//!
//! The documents are those of kube-eventer. Its delivery is not: a document's `_id` is the identity of its
//! record, so that a redelivery makes no second one, and the server's answer to each document counts.

mod answer;
mod bulk;
mod document;
mod eventer;
mod options;
mod product;
mod session;
mod template;

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::aws::Signer;
use super::http::{Reply, client_with_ca, exchange_up_to};
use super::options::environment;
use super::registry::Kind;
use super::{Batch, Delivery, Outcome, Sink, SinkContext, SinkError};
use crate::event::Record;
use crate::setting::{ByteSize, Span};

use bulk::Bulk;
use document::Form;
use options::Options;
use product::Product;
use session::{NDJSON, Question, Session};

pub(super) const KIND: Kind = Kind {
    name: "elasticsearch",
    about: "Documents in Elasticsearch 6 to 9 or OpenSearch 1 to 3",
    aliases: &["opensearch"],
    eventer_name: "ElasticSearch Sink",
    // kube-eventer's number. It waits for ten seconds, and takes twice as much.
    batch: Batch {
        max_records: Some(1000),
        max_bytes: Some(ByteSize::mib(1)),
        max_wait: Some(Span::from_secs(1)),
    },
    options: super::options::describe::<Options>,
    build: |map, context| Ok(Box::new(Elasticsearch::new(super::options::parse(map)?, context)?)),
    redact: super::options::redact::<Options>,
    from_uri: eventer::translate,
};

/// Of an answer to `_bulk`: a thousand documents may each have an error with some hundred words.
const LONGEST_ANSWER: usize = 4 << 20;

/// Nothing else of the answer is read.
const ANSWER_FIELDS: (&str, &str) = ("filter_path", "took,errors,items.*.status,items.*.error");

/// So many indexes are remembered as made; then they are made again, which changes nothing.
const MOST_INDEXES: usize = 1000;

struct Elasticsearch {
    options: Options,
    client: Client,
    /// Signs requests for AWS.
    signer: Option<Signer>,
    /// Whether the last delivery was told that it has no right to something.
    was_forbidden: bool,
    cluster: Arc<str>,
    form: Form,
    /// The node that is asked first.
    node: usize,
    /// What answered to `GET /`; asked again after a failure, because servers are replaced.
    product: Option<Product>,
    has_template: bool,
    /// Indexes that have their alias.
    made: HashSet<String>,
}

impl Elasticsearch {
    fn new(options: Options, context: &SinkContext) -> Result<Self, SinkError> {
        options.check()?;
        let client = match &options.ca {
            Some(path) => client_with_ca(Some(path), false)?,
            None => context.http.clone(),
        };
        let signer = options.sigv4.as_ref().map(|sigv4| sigv4.signer(&environment)).transpose()?;
        signer.iter().try_for_each(Signer::check)?;
        let cluster_name = options.cluster_name.clone();
        let form = Form {
            cluster_name: cluster_name.unwrap_or_else(|| context.cluster.to_string()),
            timestamp: options.data_stream,
        };
        Ok(Self {
            client,
            signer,
            was_forbidden: false,
            cluster: Arc::clone(&context.cluster),
            form,
            node: 0,
            product: None,
            has_template: !options.template,
            made: HashSet::new(),
            options,
        })
    }

    /// One outcome for each record, or one for all.
    async fn write(&mut self, batch: &[Record]) -> Result<Vec<Outcome>, Outcome> {
        let signing = match &mut self.signer {
            Some(signer) => Some(signer.signing(&self.client).await?),
            None => None,
        };
        let session = Session::open(&self.options, &self.client, signing)?;
        let product = self.product(&session).await?;
        let Bulk { body, sent, refused, indexes } =
            Bulk::new(batch, &self.options, &self.form, product, &self.cluster);
        let mut outcomes = vec![Outcome::Accepted; batch.len()];
        for (place, outcome) in refused {
            outcomes[place] = outcome;
        }
        if sent.is_empty() {
            return Ok(outcomes);
        }
        self.make_template(&session, product).await?;
        self.make_indexes(&session, indexes).await?;
        let question = Question {
            method: Method::POST,
            path: &["_bulk"],
            query: &[ANSWER_FIELDS],
            content_type: NDJSON,
            body: Bytes::from(body),
        };
        let reply = self.ask(&session, &question).await?;
        let answered = answer::outcomes(&reply, sent.len(), &session.redaction)?;
        for (place, outcome) in sent.into_iter().zip(answered) {
            outcomes[place] = outcome;
        }
        Ok(outcomes)
    }

    /// The same with new keys, where those of a role are refused: to write again is harmless.
    async fn write_with_valid_keys(&mut self, batch: &[Record]) -> Result<Vec<Outcome>, Outcome> {
        self.was_forbidden = false;
        let written = self.write(batch).await;
        let signer = self.signer.as_mut().filter(|_| self.was_forbidden);
        if signer.is_some_and(Signer::forget) { self.write(batch).await } else { written }
    }

    /// What the server is, asked once.
    async fn product(&mut self, session: &Session) -> Result<Product, Outcome> {
        if let Some(product) = self.options.version.map(Product::configured).or(self.product) {
            return Ok(product);
        }
        let reply = self.ask(session, &Question::get(&[])).await?;
        if !reply.status.is_success() {
            return Err(instead_of_asking(answer::refusal(&reply, &session.redaction)));
        }
        let product = Product::read(&reply.body).ok_or_else(|| Outcome::Hold {
            cause:
                "`GET /` tells no version of Elasticsearch or OpenSearch; check `nodes`, or set \
                    `version`"
                    .to_owned(),
        })?;
        if self.options.data_stream && !product.has_composable_templates() {
            let cause = "this version has no data streams; leave out `dataStream`".to_owned();
            return Err(Outcome::Hold { cause });
        }
        self.product = Some(product);
        Ok(product)
    }

    /// Makes the index template, unless there is one with its name, which may be somebody's own.
    async fn make_template(&mut self, session: &Session, product: Product) -> Result<(), Outcome> {
        if self.has_template {
            return Ok(());
        }
        let (interface, body) = template::template(&self.options, product);
        let name = self.options.index.clone();
        let path = [interface, &name];
        let question = Question::put(&path, &[("create", "true")], bytes_of(&body));
        self.create(session, &question).await?;
        self.has_template = true;
        Ok(())
    }

    /// Makes the indexes that are to have an alias.
    async fn make_indexes(
        &mut self,
        session: &Session,
        indexes: Vec<String>,
    ) -> Result<(), Outcome> {
        let Some(alias) = self.options.alias.clone() else { return Ok(()) };
        for index in indexes {
            if self.made.contains(&index) {
                continue;
            }
            let body = bytes_of(&json!({"aliases": {&alias: {}}}));
            if !self.create(session, &Question::put(&[&index], &[], body)).await? {
                let path = [&index, "_alias", &alias];
                self.create(session, &Question::put(&path, &[], Bytes::new())).await?;
            }
            if self.made.len() >= MOST_INDEXES {
                self.made.clear();
            }
            self.made.insert(index);
        }
        Ok(())
    }

    /// Whether it was created, and not there before.
    async fn create(
        &mut self,
        session: &Session,
        question: &Question<'_>,
    ) -> Result<bool, Outcome> {
        let reply = self.ask(session, question).await?;
        if reply.status.is_success() {
            return Ok(true);
        }
        if answer::exists_already(&reply) {
            return Ok(false);
        }
        Err(answer::not_created(&reply, &session.redaction))
    }

    /// Asks one node after the other until one answers. To ask twice is harmless, also where it is not
    /// known what became of the first time.
    async fn ask(&mut self, session: &Session, question: &Question<'_>) -> Result<Reply, Outcome> {
        let nodes = session.nodes();
        let mut failure = Outcome::Retry { after: None, cause: "there is no node".to_owned() };
        for _ in 0..nodes {
            let node = self.node;
            let request = session.request(node, question)?;
            // Before the answer: a delivery that is given up while a node hangs begins with the next one.
            self.node = (node + 1) % nodes;
            match exchange_up_to(session.client(), request, LONGEST_ANSWER, &session.redaction)
                .await
            {
                Ok(reply) => {
                    self.was_forbidden |= matches!(reply.status.as_u16(), 401 | 403);
                    // What answers with these is mostly a proxy whose server is gone.
                    if !matches!(reply.status.as_u16(), 502..=504) {
                        self.node = node;
                    }
                    return Ok(reply);
                }
                Err(Outcome::Retry { cause, .. }) => failure = unanswered(nodes, cause),
                Err(outcome) => return Err(outcome),
            }
        }
        Err(failure)
    }

    /// After a failure another server may answer, or one that was emptied.
    fn forget(&mut self) {
        self.product = None;
        self.has_template = !self.options.template;
        self.made.clear();
    }
}

#[async_trait]
impl Sink for Elasticsearch {
    async fn deliver(&mut self, batch: &[Record]) -> Delivery {
        if batch.is_empty() {
            return Delivery::Each(Vec::new());
        }
        match self.write_with_valid_keys(batch).await {
            Ok(outcomes) => {
                // A pause is no reason to ask a busy server for its version.
                if outcomes.iter().any(|outcome| matches!(outcome, Outcome::Hold { .. })) {
                    self.forget();
                }
                Delivery::Each(outcomes)
            }
            Err(outcome) => {
                if !matches!(outcome, Outcome::Rejected { .. }) {
                    self.forget();
                }
                Delivery::Whole(outcome)
            }
        }
    }
}

fn unanswered(nodes: usize, cause: String) -> Outcome {
    let cause = match nodes {
        1 => cause,
        _ => format!("none of {nodes} nodes answers; the last one: {cause}"),
    };
    Outcome::Retry { after: None, cause }
}

/// Where `GET /` is not allowed, the version can be told instead.
fn instead_of_asking(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Hold { cause } => Outcome::Hold {
            cause: format!("`GET /`: {cause}; where it cannot be allowed, set `version`"),
        },
        Outcome::Rejected { reason: cause } => Outcome::Hold { cause },
        outcome => outcome,
    }
}

fn bytes_of(body: &Value) -> Bytes {
    Bytes::from(body.to_string())
}

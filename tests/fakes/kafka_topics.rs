//! Topics of a Kafka as somebody who is no relay makes and reads them.

use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

/// How long a server may take to answer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client of a server.
pub struct Topics {
    config: ClientConfig,
}

/// A message of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    pub partition: i32,
    pub key: String,
    pub value: String,
    /// In milliseconds.
    pub time: i64,
    pub headers: Vec<(String, String)>,
}

impl Topics {
    /// Asks this server.
    pub fn new(brokers: &str) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers).set("group.id", "tests");
        config.set("enable.auto.commit", "false").set("reconnect.backoff.max.ms", "500");
        config.set("fetch.wait.max.ms", "20");
        Self { config }
    }

    /// Creates a topic.
    pub async fn create(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let topic = settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
        let created = self.admin().create_topics([&topic], &options()).await.expect("an answer");
        assert!(created.iter().all(Result::is_ok), "{name}: {created:?}");
    }

    /// Sets one setting of a topic.
    pub async fn configure(&self, name: &str, key: &str, value: &str) {
        let change = AlterConfig::new(ResourceSpecifier::Topic(name)).set(key, value);
        let changed = self.admin().alter_configs([&change], &options()).await.expect("an answer");
        assert!(changed.iter().all(Result::is_ok), "{name}: {changed:?}");
    }

    /// All messages of a topic, by partition and in order.
    pub async fn messages(&self, topic: &str) -> Vec<Arrived> {
        let (config, topic) = (self.config.clone(), topic.to_owned());
        let reading = tokio::task::spawn_blocking(move || read(&config, &topic));
        reading.await.expect("a topic can be read")
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config.create().expect("a client")
    }
}

impl Arrived {
    /// resourceVersion of the event.
    pub fn version(&self) -> u64 {
        self.header("resource_version").parse().expect("a number")
    }

    /// Identity of the record.
    pub fn identity(&self) -> &str {
        self.header("record_id")
    }

    fn header(&self, name: &str) -> &str {
        let header = self.headers.iter().find(|(key, _)| key == name);
        let Some((_, value)) = header else { panic!("no {name}: {self:?}") };
        value
    }

    fn of(message: &BorrowedMessage<'_>) -> Self {
        let text = |bytes: Option<&[u8]>| {
            String::from_utf8(bytes.unwrap_or_default().to_vec()).expect("UTF-8")
        };
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        Self {
            partition: message.partition(),
            key: text(message.key()),
            value: text(message.payload()),
            time: message.timestamp().to_millis().expect("a time"),
            headers: headers.map(|it| (it.key.to_owned(), text(it.value))).collect(),
        }
    }
}

impl std::fmt::Debug for Topics {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Topics")
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE))
}

fn read(config: &ClientConfig, topic: &str) -> Vec<Arrived> {
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).expect("an answer");
    let mut arrived = Vec::new();
    for partition in metadata.topics()[0].partitions() {
        let partition = partition.id();
        let (low, high) = consumer.fetch_watermarks(topic, partition, PATIENCE).expect("an answer");
        if low == high {
            continue;
        }
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
        consumer.assign(&assignment).expect("assigned");
        let give_up = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < give_up, "{topic}: {} of {high} messages", arrived.len());
            // An error is that of a connection, which is made again.
            let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { continue };
            arrived.push(Arrived::of(&message));
            if message.offset() + 1 == high {
                break;
            }
        }
    }
    arrived
}

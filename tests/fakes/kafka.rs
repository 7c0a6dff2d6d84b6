//! librdkafka's own stand-in for brokers, for answers that a real one gives only when something is wrong with it.

use std::sync::mpsc;
use std::thread::JoinHandle;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

type Cluster = MockCluster<'static, DefaultProducerContext>;
type Order = Box<dyn FnOnce(&Cluster) + Send>;

/// Stand-ins for brokers. They stay on one thread, because the crate does not allow them to move.
pub struct MockKafka {
    orders: Option<mpsc::Sender<Order>>,
    keeper: Option<JoinHandle<()>>,
    brokers: String,
}

impl MockKafka {
    /// One broker with a topic of one partition.
    pub fn start(topic: &str) -> Self {
        let (orders, received) = mpsc::channel::<Order>();
        let (tell, told) = mpsc::channel();
        let topic = topic.to_owned();
        let keeper = std::thread::spawn(move || {
            let cluster = MockCluster::new(1).expect("a mock cluster");
            cluster.create_topic(&topic, 1, 1).expect("a topic");
            tell.send(cluster.bootstrap_servers()).expect("somebody waits");
            for order in received {
                order(&cluster);
            }
        });
        let brokers = told.recv().expect("it starts");
        Self { orders: Some(orders), keeper: Some(keeper), brokers }
    }

    /// `HOST:PORT`.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// The next requests to write fail with these errors, one each.
    pub fn fail_writes(&self, errors: &[RDKafkaRespErr]) {
        let errors = errors.to_vec();
        self.order(move |cluster| {
            cluster.request_errors(RDKafkaApiKey::Produce, &errors);
        });
    }

    /// Refuses connections from now on, or takes them again.
    pub fn be_down(&self, down: bool) {
        self.order(move |cluster| {
            let done = if down { cluster.broker_down(-1) } else { cluster.broker_up(-1) };
            done.expect("an order");
        });
    }

    fn order(&self, order: impl FnOnce(&Cluster) + Send + 'static) {
        let (done, wait) = mpsc::channel();
        let order: Order = Box::new(move |cluster| {
            order(cluster);
            done.send(()).expect("somebody waits");
        });
        self.orders.as_ref().expect("it runs").send(order).expect("it runs");
        wait.recv().expect("it runs");
    }
}

impl Drop for MockKafka {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(keeper) = self.keeper.take() {
            let ended = keeper.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the mock cluster panicked");
        }
    }
}

//! What only a real broker can show: refusals, faults, foreign clients.

mod addresses;
mod bare;
mod bounds;
mod channels;
mod cluster;
mod connecting;
mod crashes;
pub(crate) mod dead_letters;
mod endurance;
mod faults;
mod foreign;
mod losses;
mod lost;
mod old;
mod permissions;
mod reports;
mod requests;
mod retries;
mod settling;
mod stopping;
mod streams;
mod topology;

use std::{future::Future, sync::Arc, time::Duration};

use sap_comm_core::Event;
use sap_comm_events::{Broker, BrokerConfig, EventRouter};
use sap_comm_testkit::RabbitNode;
use tokio::sync::{Mutex, MutexGuard, OnceCell, mpsc};

use crate::{events::UserCreated, waiting::until};

/// What a test waits for at most; a node needs up to ten seconds to start.
const LIMIT: Duration = Duration::from_secs(60);

/// A broker in a vhost of its own, on the node that nobody breaks.
pub(crate) async fn in_a_vhost_of_its_own(config: BrokerConfig) -> Broker {
    Broker::connect(&vhost().await, config).await.unwrap()
}

pub(crate) async fn vhost() -> String {
    RabbitNode::shared().await.unwrap().new_vhost().await.unwrap()
}

/// The node that is broken, by one test at a time.
async fn breakable() -> MutexGuard<'static, RabbitNode> {
    static NODE: OnceCell<Mutex<RabbitNode>> = OnceCell::const_new();
    let node = NODE.get_or_init(|| async { Mutex::new(RabbitNode::start().await.unwrap()) }).await;
    node.lock().await
}

pub(crate) fn config() -> BrokerConfig {
    BrokerConfig::new("user-service")
        .publish_deadline(LIMIT)
        .retry_delays([20, 50].map(Duration::from_millis))
        .max_attempts(3)
}

pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(LIMIT, future).await.expect("it did not happen in time")
}

/// The connections lived on.
fn assert_undisturbed(broker: &Broker) {
    assert_eq!(broker.health().last_error, None);
}

/// Waits until `condition` holds.
async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    assert!(tokio::time::timeout(LIMIT, until(async || condition())).await.is_ok(), "never happened: {what}");
}

/// A router that sends every user's number to the receiver.
pub(crate) fn numbers() -> (EventRouter, mpsc::UnboundedReceiver<u32>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let sent = sender.send(event.data.number);
        async move { Ok(sent?) }
    });
    (router, receiver)
}

/// A plain client, as a foreign program would be.
async fn foreign(uri: &str) -> lapin::Channel {
    let connection = lapin::Connection::connect(uri, lapin::ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(lapin::options::ConfirmSelectOptions::default()).await.unwrap();
    channel
}

/// Publishes bytes as a foreign program would, and waits for the confirm.
async fn publish_bytes(
    channel: &lapin::Channel,
    exchange: &str,
    key: &str,
    body: &[u8],
    properties: lapin::BasicProperties,
) {
    let options = lapin::options::BasicPublishOptions { mandatory: true, ..Default::default() };
    let confirm = channel.basic_publish(exchange.into(), key.into(), options, body, properties).await.unwrap().await;
    assert_eq!(confirm.unwrap(), lapin::Confirmation::Ack(None));
}

/// Publishes numbers one after the other in the background until told to stop; each confirmed number is in the list.
struct Stream {
    stop: tokio_util::sync::CancellationToken,
    task: tokio::task::JoinHandle<Vec<u32>>,
}

impl Stream {
    /// `width` numbers are under way at any time.
    fn start(broker: &Broker, width: u32) -> Self {
        let stop = tokio_util::sync::CancellationToken::new();
        let (broker, stopped) = (broker.clone(), stop.clone());
        let next = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let task = tokio::spawn(async move {
            let lanes = (0..width).map(|_| {
                let (broker, stopped, next) = (broker.clone(), stopped.clone(), next.clone());
                async move {
                    let mut confirmed = Vec::new();
                    while !stopped.is_cancelled() {
                        let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        if broker.publish("user.events", UserCreated::numbered(number)).await.is_ok() {
                            confirmed.push(number);
                        }
                    }
                    confirmed
                }
            });
            futures_util::future::join_all(lanes).await.concat()
        });
        Self { stop, task }
    }

    async fn finish(self) -> Vec<u32> {
        self.stop.cancel();
        soon(self.task).await.unwrap()
    }
}

/// Waits until every confirmed number has arrived; returns how many arrived more than once.
async fn all_arrive(confirmed: &[u32], arrived: &mut mpsc::UnboundedReceiver<u32>) -> usize {
    let mut missing: std::collections::HashSet<u32> = confirmed.iter().copied().collect();
    assert_eq!(missing.len(), confirmed.len());
    let (mut seen, mut twice) = (std::collections::HashSet::new(), 0);
    while !missing.is_empty() {
        // A busy machine may take long for all of them, and not for the next one.
        let next = tokio::time::timeout(LIMIT, arrived.recv()).await;
        let Ok(Some(number)) = next else {
            panic!("{} of {} confirmed events are lost", missing.len(), confirmed.len())
        };
        missing.remove(&number);
        twice += usize::from(!seen.insert(number));
    }
    twice
}

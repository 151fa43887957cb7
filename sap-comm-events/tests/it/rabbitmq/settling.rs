//! Consequences of handling that the broker refuses, or does not take yet: the handler has done its part.

use std::{sync::Arc, time::Duration};

use sap_comm_core::Event;
use sap_comm_events::{Broker, BrokerState, EventRouter, HandlerError, OverflowPolicy, SubscriptionHandle};
use sap_comm_testkit::RabbitNode;
use tokio::sync::{Semaphore, mpsc};

use super::{breakable, config, eventually, soon, vhost};
use crate::{events::UserCreated, waiting::until};

/// Fails for good, once it may; tells when it begins.
fn failing(may: Arc<Semaphore>) -> (EventRouter, mpsc::UnboundedReceiver<u32>) {
    let (sender, handled) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let (sent, may) = (sender.send(event.data.number), Arc::clone(&may));
        async move {
            sent?;
            may.acquire().await?.forget();
            Err(HandlerError::permanent("broken"))
        }
    });
    (router, handled)
}

async fn is_buried(broker: &Broker) {
    let letters = broker.dead_letters("user.events", "user-service");
    soon(until(async || matches!(letters.count().await, Ok(1)))).await;
}

/// A consumer that may not publish to its queue of dead letters any more, and has failed at it.
struct Forbidden {
    broker: Broker,
    node: &'static RabbitNode,
    vhost: String,
    user: String,
    handle: SubscriptionHandle,
    handled: mpsc::UnboundedReceiver<u32>,
}

impl Forbidden {
    async fn begin(name: &str) -> Self {
        let uri = vhost().await;
        let (_, vhost) = uri.rsplit_once('/').unwrap();
        let node = RabbitNode::shared().await.unwrap();
        let user = format!("{name}-{vhost}");
        node.ctl(&["add_user", &user, "secret"]).await.unwrap();
        permit(node, vhost, &user, ".*").await;
        let uri = uri.replace("guest:guest@", &format!("{user}:secret@"));
        let broker = Broker::connect(&uri, config()).await.unwrap();
        let may = Arc::new(Semaphore::new(0));
        let (router, mut handled) = failing(Arc::clone(&may));
        let handle = broker.subscribe("user.events", router).await.unwrap();
        permit(node, vhost, &user, r"^user\.events.*$").await;
        broker.publish("user.events", UserCreated::numbered(1)).await.unwrap();
        assert_eq!(soon(handled.recv()).await, Some(1));
        may.add_permits(10);
        let refused = || broker.health().last_error.is_some_and(|error| error.contains("amq.default"));
        eventually("the burial is refused", refused).await;
        Self { broker, node, vhost: vhost.to_owned(), user, handle, handled }
    }
}

async fn permit(node: &RabbitNode, vhost: &str, user: &str, writable: &str) {
    node.ctl(&["set_permissions", "-p", vhost, user, ".*", writable, ".*"]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_handled_once_while_its_burial_is_not_permitted() {
    let Forbidden { broker, node, vhost, user, handle, mut handled } = Forbidden::begin("handler").await;
    permit(node, &vhost, &user, ".*").await;
    is_buried(&broker).await;
    soon(handle.stop()).await;
    assert_eq!(handled.recv().await, None, "it was handled again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_whose_burial_cannot_be_confirmed_goes_back_when_its_consumer_stops() {
    let Forbidden { node, vhost, handle, .. } = Forbidden::begin("stopped").await;
    soon(handle.stop()).await;
    let depth = async || node.queue_depth(&vhost, "user.events.user-service").await.unwrap();
    soon(until(async || depth().await == Some(1))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settlements_wait_for_a_blocked_broker_whatever_the_policy_for_events() {
    let node = breakable().await;
    let uri = node.new_vhost().await.unwrap();
    let config = config().offline(OverflowPolicy::Refuse).publish_deadline(Duration::from_millis(500));
    let broker = Broker::connect(&uri, config).await.unwrap();
    let may = Arc::new(Semaphore::new(0));
    let (router, mut handled) = failing(Arc::clone(&may));
    let handle = broker.subscribe("user.events", router).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(1)).await.unwrap();
    assert_eq!(soon(handled.recv()).await, Some(1));
    node.set_memory_alarm(true).await.unwrap();
    // The broker tells a connection that it is blocked when that connection publishes.
    broker.publish("elsewhere", UserCreated::numbered(2)).await.unwrap_err();
    eventually("the alarm is reported", || broker.health().state == BrokerState::Blocked).await;
    may.add_permits(10);
    eventually("the burial waits", || broker.health().pending > 0).await;
    // Longer than events may wait: with each try there would be one dead letter more.
    tokio::time::sleep(Duration::from_secs(3)).await;
    node.set_memory_alarm(false).await.unwrap();
    is_buried(&broker).await;
    soon(handle.stop()).await;
    assert_eq!(handled.recv().await, None, "it was handled again");
    is_buried(&broker).await;
}

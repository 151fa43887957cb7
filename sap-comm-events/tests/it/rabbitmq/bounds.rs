//! Bounds that an operator sets on the broker's queues, and what they mean for publishers and consumers.

use sap_comm_core::Event;
use sap_comm_events::{Broker, EventRouter, PublishError, SubscribeError, Subscription};
use sap_comm_testkit::RabbitNode;
use tokio::sync::mpsc;

use super::{config, eventually, numbers, soon, vhost};
use crate::{events::UserCreated, waiting::until};

const QUEUE: &str = "user.events.user-service";

async fn policy(uri: &str, definition: &str) {
    let (_, vhost) = uri.rsplit_once('/').unwrap();
    let node = RabbitNode::shared().await.unwrap();
    let pattern = format!("^{QUEUE}$");
    node.ctl(&["set_policy", "-p", vhost, "bound", &pattern, definition, "--apply-to", "queues"]).await.unwrap();
}

#[tokio::test]
async fn a_queue_over_its_length_limit_nacks() {
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let (router, _gone) = numbers();
    broker.subscribe("user.events", router).await.unwrap().stop().await;
    policy(&uri, r#"{"max-length":5,"overflow":"reject-publish"}"#).await;
    let mut refused = None;
    // The limit is looked at with the message after.
    for number in 0..10 {
        if let Err(error) = soon(broker.publish("user.events", UserCreated::numbered(number))).await {
            refused = Some((number, error));
            break;
        }
    }
    let (number, error) = refused.expect("no publish was refused");
    assert!((5..=6).contains(&number), "{number}");
    assert!(matches!(error, PublishError::Nacked { .. }) && error.is_transient(), "{error:?}");
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    for expected in 0..number {
        assert_eq!(soon(numbers.recv()).await, Some(expected), "what was confirmed is there");
    }
    soon(broker.publish("user.events", UserCreated::numbered(99))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_limit_of_the_broker_ends_in_the_dead_letters() {
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let (sender, mut taken) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let sent = sender.send(event.data.number);
        async move {
            sent?;
            std::future::pending().await
        }
    });
    // The handlers of lost connections stay.
    let subscription = Subscription::new("user.events").quorum().concurrency(4);
    let handle = broker.subscribe(subscription, router).await.unwrap();
    let definition =
        format!(r#"{{"delivery-limit":1,"dead-letter-exchange":"","dead-letter-routing-key":"{QUEUE}.dead"}}"#);
    policy(&uri, &definition).await;
    soon(broker.publish("user.events", UserCreated::numbered(7))).await.unwrap();
    let node = RabbitNode::shared().await.unwrap();
    for _ in 0..2 {
        assert_eq!(soon(taken.recv()).await, Some(7));
        node.close_connections_of(&uri).await.unwrap();
        eventually("the loss is noticed", || !broker.health().is_ready()).await;
        eventually("the connections are back", || broker.health().is_ready()).await;
    }
    let letters = broker.dead_letters("user.events", "user-service");
    soon(until(async || matches!(letters.count().await, Ok(1)))).await;
    drop(handle);
}

#[tokio::test]
async fn a_subscription_without_permission_is_refused_by_name() {
    let uri = vhost().await;
    let (_, vhost) = uri.rsplit_once('/').unwrap();
    let node = RabbitNode::shared().await.unwrap();
    let user = format!("reader-{vhost}");
    node.ctl(&["add_user", &user, "secret"]).await.unwrap();
    node.ctl(&["set_permissions", "-p", vhost, &user, "^$", ".*", ".*"]).await.unwrap();
    let broker = Broker::connect(&uri.replace("guest:guest@", &format!("{user}:secret@")), config()).await.unwrap();
    let (router, _numbers) = numbers();
    let error = soon(broker.subscribe("user.events", router)).await.unwrap_err();
    assert!(
        matches!(&error, SubscribeError::Forbidden { reason } if reason.contains("user.events") && reason.contains(&user)),
        "{error:?}"
    );
}

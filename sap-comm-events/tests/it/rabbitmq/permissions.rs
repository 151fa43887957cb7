//! Users of the broker that may do no more than they must, on what somebody else declared.

use std::time::Duration;

use lapin::{
    options::QueueDeclareOptions,
    types::{AMQPValue, FieldTable},
};
use sap_comm_core::Event;
use sap_comm_events::{Broker, EventRouter, PublishError, SubscribeError, Subscription};
use sap_comm_testkit::RabbitNode;

use super::{config, foreign, numbers, soon, vhost};
use crate::{
    events::{ReportRequested, UserCreated},
    waiting::until,
};

/// The broker at `uri` as a user that may configure, write and read what these patterns say.
async fn limited(uri: &str, name: &str, configure: &str, write: &str, read: &str) -> Broker {
    let (_, vhost) = uri.rsplit_once('/').unwrap();
    let node = RabbitNode::shared().await.unwrap();
    let user = format!("{name}-{vhost}");
    node.ctl(&["add_user", &user, "secret"]).await.unwrap();
    node.ctl(&["set_permissions", "-p", vhost, &user, configure, write, read]).await.unwrap();
    let uri = uri.replace("guest:guest@", &format!("{user}:secret@"));
    Broker::connect(&uri, config()).await.unwrap()
}

/// The URI of a vhost that makes quorum queues of what does not say its type.
async fn vhost_of_quorum_queues(name: &str) -> String {
    let node = RabbitNode::shared().await.unwrap();
    node.ctl(&["add_vhost", name, "--default-queue-type", "quorum"]).await.unwrap();
    node.ctl(&["set_permissions", "-p", name, "guest", ".*", ".*", ".*"]).await.unwrap();
    let uri = vhost().await;
    let (host, _) = uri.rsplit_once('/').unwrap();
    format!("{host}/{name}")
}

#[tokio::test]
async fn a_publisher_that_may_only_write_publishes_to_what_exists() {
    let uri = vhost().await;
    let admin = Broker::connect(&uri, config()).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = admin.subscribe("user.events", router).await.unwrap();
    let publisher = limited(&uri, "writer", "^$", r"^(user|order)\.events$", "^$").await;
    soon(publisher.publish("user.events", UserCreated::numbered(7))).await.unwrap();
    assert_eq!(soon(numbers.recv()).await, Some(7));
    let error = soon(publisher.publish("order.events", UserCreated::numbered(8))).await.unwrap_err();
    let PublishError::Forbidden { reason } = &error else { panic!("{error:?}") };
    assert!(reason.contains(r#"exchange "order.events" does not exist"#), "{reason}");
    // That is no hindrance for others.
    soon(publisher.publish("user.events", UserCreated::numbered(9))).await.unwrap();
    assert_eq!(soon(numbers.recv()).await, Some(9));
}

#[tokio::test]
async fn a_consumer_that_may_only_read_consumes_what_exists() {
    let uri = vhost().await;
    let admin = Broker::connect(&uri, config()).await.unwrap();
    let group = |name: &str| Subscription::new("user.events").group(name);
    for (name, subscription) in [("a", group("a")), ("b", group("b").quorum())] {
        let (router, _gone) = numbers();
        admin.subscribe(subscription.clone(), router).await.unwrap().stop().await;
        let consumer = limited(&uri, name, "^$", "^$", r"^user\.events").await;
        let (router, mut numbers) = numbers();
        let handle = consumer.subscribe(subscription, router).await.unwrap();
        admin.publish("user.events", UserCreated::numbered(7)).await.unwrap();
        assert_eq!(soon(numbers.recv()).await, Some(7));
        // And once more over another connection, when this one has settled it.
        let (node, queue) = (RabbitNode::shared().await.unwrap(), format!("user.events.{name}"));
        soon(until(async || node.queue_depth(&uri, &queue).await.unwrap() == Some(0))).await;
        node.close_connections_of(&uri).await.unwrap();
        soon(admin.publish("user.events", UserCreated::numbered(8))).await.unwrap();
        assert_eq!(soon(numbers.recv()).await, Some(8));
        soon(handle.stop()).await;
    }
}

#[tokio::test]
async fn what_is_missing_and_may_not_be_declared_is_named() {
    let uri = vhost().await;
    let admin = Broker::connect(&uri, config()).await.unwrap();
    let (router, _gone) = numbers();
    admin.subscribe("user.events", router.clone()).await.unwrap().stop().await;
    let consumer = limited(&uri, "reader", "^$", "^$", r"^user\.events").await;
    let error = consumer.subscribe(Subscription::new("user.events").group("other"), router.clone()).await.unwrap_err();
    let SubscribeError::Forbidden { reason } = &error else { panic!("{error:?}") };
    assert!(reason.contains(r#"queue "user.events.other" does not exist"#), "{reason}");
    // A queue of its own that it may not bind would get nothing.
    let own = r"^(user\.events\.own|amq\.default$)";
    let consumer = limited(&uri, "owner", own, own, own).await;
    let error = consumer.subscribe(Subscription::new("user.events").group("own"), router).await.unwrap_err();
    let SubscribeError::Forbidden { reason } = &error else { panic!("{error:?}") };
    assert!(reason.contains("access to exchange 'user.events'") && !reason.contains("exist"), "{reason}");
}

#[tokio::test]
async fn a_publisher_that_may_only_write_delays_over_a_ladder_that_exists() {
    let uri = vhost().await;
    let admin = Broker::connect(&uri, config()).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = admin.subscribe("user.events", router).await.unwrap();
    let (delay, written) = (Duration::from_millis(1), r"^(user\.events|sap\.delay\..*)$");
    let publisher = limited(&uri, "later", "^$", written, r"^sap\.delay\.due$").await;
    let error = soon(publisher.publish_after("user.events", UserCreated::numbered(6), delay)).await.unwrap_err();
    let PublishError::Forbidden { reason } = &error else { panic!("{error:?}") };
    assert!(reason.contains(r#"exchange "sap.delay.due" does not exist"#), "{reason}");
    admin.publish_after("user.events", UserCreated::numbered(7), delay).await.unwrap();
    assert_eq!(soon(numbers.recv()).await, Some(7));
    soon(publisher.publish_after("user.events", UserCreated::numbered(8), delay)).await.unwrap();
    assert_eq!(soon(numbers.recv()).await, Some(8));
}

#[tokio::test]
async fn a_queue_of_its_own_needs_what_the_readme_says() {
    let uri = vhost().await;
    let admin = Broker::connect(&uri, config()).await.unwrap();
    let router =
        EventRouter::new().on_request(|asked: Event<ReportRequested>| async move { Ok(asked.data.number.to_string()) });
    let _answering = admin.subscribe("report.events", router).await.unwrap();
    let (router, _gone) = numbers();
    admin.subscribe("user.events", router).await.unwrap().stop().await;
    let replies = r"^user-service\.replies_";
    let requester = limited(&uri, "requester", replies, r"^report\.events\.commands$", replies).await;
    let answer = requester.request("report.events", ReportRequested { number: 7 }, Duration::from_secs(60));
    assert_eq!(soon(answer).await.unwrap(), "7");
    let own = r"^user\.events\.user-service\.only_";
    let consumer = limited(&uri, "ephemeral", own, own, &format!(r"{own}|^user\.events$")).await;
    let (router, mut numbers) = numbers();
    let _handle = consumer.subscribe(Subscription::new("user.events").ephemeral(), router).await.unwrap();
    let own = r"^user\.events\.tail_";
    let with_exchange = format!(r"{own}|^user\.events$");
    let watcher = limited(&uri, "tail", &with_exchange, own, &with_exchange).await;
    let mut tail = watcher.tail("user.events", &["#"]).await.unwrap();
    admin.publish("user.events", UserCreated::numbered(8)).await.unwrap();
    assert_eq!(soon(numbers.recv()).await, Some(8));
    assert_eq!(soon(tail.next()).await.unwrap().event_type, "user.created");
}

/// As queues were declared before they said their type.
#[tokio::test]
async fn what_a_vhost_made_quorum_queues_before_is_used_and_reported() {
    let uri = vhost_of_quorum_queues("quorum-before").await;
    let channel = foreign(&uri).await;
    let mut of_rung = FieldTable::default();
    of_rung.insert("x-message-ttl".into(), AMQPValue::LongLongInt(100));
    of_rung.insert("x-dead-letter-exchange".into(), AMQPValue::LongString("sap.delay.due".into()));
    let none = FieldTable::default;
    for (queue, arguments) in
        [("user.events.user-service", none()), ("user.events.user-service.dead", none()), ("sap.delay.0", of_rung)]
    {
        channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), arguments).await.unwrap();
    }
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    broker.publish("user.events", UserCreated::numbered(7)).await.unwrap();
    assert_eq!(soon(numbers.recv()).await, Some(7));
    soon(broker.publish_after("user.events", UserCreated::numbered(8), Duration::from_millis(1))).await.unwrap();
    assert_eq!(soon(numbers.recv()).await, Some(8));
    let spec = serde_json::from_str(r#"{"queues": [{"name": "user.events.user-service"}]}"#).unwrap();
    let differences = broker.topology_differences(&spec).await.unwrap();
    assert!(differences.len() == 1 && differences[0].to_string().contains("x-queue-type"), "{differences:?}");
    // Any other difference is one as before.
    let single = Subscription::new("user.events").single_active();
    let error = broker.subscribe(single, EventRouter::new().otherwise(|_| async { Ok(()) })).await.unwrap_err();
    assert!(matches!(error, SubscribeError::Topology(_)), "{error}");
}

/// A vhost may make quorum queues of what does not say its type, whose rules are others.
#[tokio::test]
async fn a_classic_queue_is_one_in_a_vhost_of_quorum_queues() {
    let name = "quorum-by-default";
    let broker = Broker::connect(&vhost_of_quorum_queues(name).await, config()).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    broker.publish_after("user.events", UserCreated::numbered(7), Duration::from_millis(1)).await.unwrap();
    assert_eq!(soon(numbers.recv()).await, Some(7));
    let node = RabbitNode::shared().await.unwrap();
    let queues = node.ctl(&["-q", "list_queues", "-p", name, "name", "type"]).await.unwrap();
    let classic =
        |queue: &str| queues.lines().any(|line| line.starts_with(&format!("{queue}\t")) && line.contains("lassic"));
    for queue in ["user.events.user-service", "user.events.user-service.dead", "sap.delay.0"] {
        assert!(classic(queue), "{queue}: {queues}");
    }
}

//! Reports on `error.events` that the broker refuses for good.

use lapin::{ExchangeKind, options::ExchangeDeclareOptions, types::FieldTable};
use sap_comm_core::Event;
use sap_comm_events::{Broker, EventRouter, HandlerError, PublishError};
use sap_comm_testkit::RabbitNode;
use tokio::sync::mpsc;

use super::{config, foreign, soon, vhost};
use crate::events::UserCreated;

/// Makes the first of two events a dead letter, which is to be one and to be handled once.
async fn is_buried_once(uri: &str) {
    let broker = Broker::connect(uri, config()).await.unwrap();
    let (sender, mut handled) = mpsc::unbounded_channel();
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        let sent = sender.send(event.data.number);
        async move {
            sent?;
            if event.data.number == 1 { Err(HandlerError::permanent("broken")) } else { Ok(()) }
        }
    });
    let handle = broker.subscribe("user.events", router).await.unwrap();
    for number in [1, 2] {
        broker.publish("user.events", UserCreated::numbered(number)).await.unwrap();
    }
    assert_eq!((soon(handled.recv()).await, soon(handled.recv()).await), (Some(1), Some(2)));
    soon(handle.stop()).await;
    assert!(handled.try_recv().is_err());
    assert_eq!(broker.dead_letters("user.events", "user-service").count().await.unwrap(), 1);
    let (_, vhost) = uri.rsplit_once('/').unwrap();
    let node = RabbitNode::shared().await.unwrap();
    assert_eq!(node.queue_depth(vhost, "user.events.user-service").await.unwrap(), Some(0), "the original is settled");
}

#[tokio::test]
async fn an_event_is_buried_once_although_its_reports_exchange_is_of_another_kind() {
    let uri = vhost().await;
    let channel = foreign(&uri).await;
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    channel
        .exchange_declare("error.events".into(), ExchangeKind::Fanout, durable, FieldTable::default())
        .await
        .unwrap();
    is_buried_once(&uri).await;
}

#[tokio::test]
async fn an_event_is_buried_once_although_its_report_is_not_permitted() {
    let uri = vhost().await;
    let (_, vhost) = uri.rsplit_once('/').unwrap();
    let node = RabbitNode::shared().await.unwrap();
    let user = format!("reporter-{vhost}");
    node.ctl(&["add_user", &user, "secret"]).await.unwrap();
    let writable = r"^(user\.events.*|amq\.default)$";
    node.ctl(&["set_permissions", "-p", vhost, &user, ".*", writable, ".*"]).await.unwrap();
    let uri = uri.replace("guest:guest@", &format!("{user}:secret@"));
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let error = soon(broker.publish("error.events", UserCreated::numbered(1))).await.unwrap_err();
    assert!(matches!(&error, PublishError::Forbidden { reason } if reason.contains("error.events")), "{error:?}");
    assert!(!error.is_transient());
    is_buried_once(&uri).await;
}

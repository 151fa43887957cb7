use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, routing::get as route};
use sap_comm::{
    Event, EventPayload, Service, ServiceError,
    events::{Broker, BrokerConfig, EventRouter},
};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};

use crate::client::get;

#[derive(Debug, Serialize, Deserialize, EventPayload)]
#[event(type = "job.posted")]
struct JobPosted {}

#[tokio::test]
async fn a_request_in_flight_is_finished() {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (in_handler, wait) = (begun.clone(), go_on.clone());
    let slow = move || {
        let (begun, go_on) = (in_handler.clone(), wait.clone());
        async move {
            begun.notify_one();
            go_on.notified().await;
            "finished"
        }
    };
    let service = Service::builder("a").routes(Router::new().route("/slow", route(slow)));
    let running = service.build().unwrap().start().await.unwrap();
    let address = running.local_addr();
    let request = tokio::spawn(async move { get(address, "/slow").await });
    begun.notified().await;
    let drained = tokio::spawn(running.drain());
    go_on.notify_one();
    assert!(request.await.unwrap().ends_with("finished"));
    drained.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_never_ends_is_cut_and_named_and_the_rest_still_runs() {
    let broker = Broker::connect("memory://", BrokerConfig::new("test")).await.unwrap();
    let (sender, mut handled) = mpsc::channel(1);
    let stuck = EventRouter::new().on(move |_: Event<JobPosted>| {
        let sender = sender.clone();
        async move {
            sender.send(()).await?;
            std::future::pending().await
        }
    });
    let order = Arc::new(Mutex::new(Vec::new()));
    let step = |name: &'static str| {
        let order = order.clone();
        move || async move {
            order.lock().unwrap().push(name);
            Ok(())
        }
    };
    let running = Service::builder("a")
        .broker(&broker)
        .subscribe("job.events", stuck)
        .on_drain(step("first added"))
        .on_drain(step("last added"))
        .on_stop(step("stop"))
        .drain_timeout(Duration::from_millis(400))
        .build()
        .unwrap()
        .start()
        .await
        .unwrap();
    broker.publish("job.events", JobPosted {}).await.unwrap();
    handled.recv().await.unwrap();
    let error = running.drain().await.unwrap_err();
    let ServiceError::Drain { reasons, .. } = error else { panic!("{error}") };
    assert!(reasons.len() == 1 && reasons[0].contains("deliveries"), "{reasons:?}");
    assert_eq!(*order.lock().unwrap(), ["stop", "last added", "first added"]);
}

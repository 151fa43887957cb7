use std::{net::SocketAddr, sync::Arc};

use axum::{Router, routing::get as route};
use futures_util::StreamExt;
use sap_comm::{
    Endpoint, RawEvent, Resolution, Resolver, Service, ServiceError, StaticResolver,
    events::{Broker, BrokerConfig, EventRouter, Subscription},
};
use tokio::sync::mpsc;

use crate::client::get;

fn field(error: ServiceError) -> &'static str {
    match error {
        ServiceError::Config { field, .. } => field,
        other => panic!("expected a wrong option, got {other}"),
    }
}

#[tokio::test]
async fn a_service_serves_subscribes_registers_and_announces_itself() {
    let broker = Broker::connect("memory://", BrokerConfig::new("test")).await.unwrap();
    let (sender, mut announced) = mpsc::channel(8);
    let observe = EventRouter::new().otherwise(move |event: RawEvent| {
        let sender = sender.clone();
        async move { Ok(sender.send(event.event_type).await?) }
    });
    let observer = broker.subscribe(Subscription::new("system.events").ephemeral(), observe).await.unwrap();

    let registry = Arc::new(StaticResolver::new());
    let mut watch = registry.watch("hello-service");
    assert!(matches!(watch.next().await, Some(Resolution::Snapshot(set)) if set.is_empty()));
    let running = Service::builder("hello-service")
        .broker(&broker)
        .routes(Router::new().route("/hello", route(|| async { "hello" })))
        .register_with(registry)
        .build()
        .unwrap()
        .start()
        .await
        .unwrap();
    let endpoint = Endpoint::parse(&format!("http://{}", running.local_addr())).unwrap();
    assert!(matches!(watch.next().await, Some(Resolution::Snapshot(set)) if set.as_slice() == [endpoint]));
    assert!(get(running.local_addr(), "/hello").await.ends_with("hello"));
    assert!(get(running.local_addr(), "/health/ready").await.starts_with("HTTP/1.1 200"));
    assert!(get(running.local_addr(), "/nope").await.contains("NOT_FOUND"));
    assert_eq!(announced.recv().await.as_deref(), Some("service.started"));

    running.drain().await.unwrap();
    assert!(matches!(watch.next().await, Some(Resolution::Snapshot(set)) if set.is_empty()));
    assert_eq!(announced.recv().await.as_deref(), Some("service.stopping"));
    observer.stop().await;
}

#[tokio::test]
async fn options_that_cannot_work_are_refused_by_name() {
    let subscribing = Service::builder("a").subscribe("user.events", EventRouter::new());
    assert_eq!(field(subscribing.build().unwrap_err()), "broker");
    assert_eq!(field(Service::builder("").build().unwrap_err()), "name");
    let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let nowhere = Service::builder("a").listen(everywhere).register_with(Arc::new(StaticResolver::new()));
    assert_eq!(field(nowhere.build().unwrap_err()), "advertise");
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let first = Service::builder("a").build().unwrap().start().await.unwrap();
    let second = Service::builder("b").listen(first.local_addr()).build().unwrap().start().await.unwrap_err();
    assert!(second.to_string().contains(&first.local_addr().to_string()), "{second}");
    first.drain().await.unwrap();
}

#[tokio::test]
async fn what_a_failed_start_began_is_stopped_again() {
    let broker = Broker::connect("memory://", BrokerConfig::new("test")).await.unwrap();
    let failing = Service::builder("a").broker(&broker).subscribe("user.events", EventRouter::new());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = failing.listen(taken).build().unwrap().start().await.unwrap_err();
    assert!(matches!(error, ServiceError::Subscribe { .. }), "{error}");
    assert!(std::net::TcpListener::bind(taken).is_ok(), "the address is free again");
}

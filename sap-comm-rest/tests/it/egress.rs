use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, routing::get};
use futures_util::{StreamExt, stream, stream::BoxStream};
use sap_comm_core::{ApiError, Endpoint, Resolution, Resolver, StaticResolver};
use sap_comm_rest::{
    client::{Client, ClientBuilder, ClientConfig, ClientError},
    gateway::{Gateway, Route, UpstreamConfig},
    server::ServerConfig,
};

use crate::support::{Running, ask, serve, serve_with};

/// What a registry announces, to which others than us may write.
#[derive(Debug)]
struct Announced(Endpoint);

impl Resolver for Announced {
    fn watch(&self, _service: &str) -> BoxStream<'static, Resolution> {
        let set = [self.0.clone()].into_iter().collect();
        stream::once(async { Resolution::Snapshot(Arc::new(set)) }).chain(stream::pending()).boxed()
    }
}

fn announced(endpoint: &str) -> Arc<dyn Resolver> {
    Arc::new(Announced(Endpoint::parse(endpoint).unwrap()))
}

fn client(resolver: Arc<dyn Resolver>) -> ClientBuilder {
    Client::builder("user-service").resolver(resolver).without_circuit_breaker().without_retry()
}

/// A service that nobody is to reach, and how often it was.
async fn internal() -> (Running, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let router = Router::new().route("/", get(move || async move { count.fetch_add(1, Ordering::SeqCst).to_string() }));
    (serve(router).await, calls)
}

async fn refusal(client: &Client) -> String {
    let error = client.get("/", []).send().await.expect_err("refused");
    assert!(matches!(error, ClientError::Connect { .. }), "{error}");
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text.push_str(&format!("; {error}"));
        cause = error.source();
    }
    assert_eq!(ApiError::from(error).status().as_u16(), 503);
    text
}

#[tokio::test]
async fn what_a_registry_announces_is_no_way_to_this_machine() {
    let (server, calls) = internal().await;
    let port = server.addr.port();
    for host in
        ["127.0.0.1", "127.1.2.3", "localhost", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"]
    {
        let client = client(announced(&format!("http://{host}:{port}"))).build().unwrap();
        assert!(refusal(&client).await.contains("not connected"), "{host}");
    }
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    let endpoint = server.endpoint().to_string();
    let in_development = client(announced(&endpoint)).insecure_allow_loopback().build().unwrap();
    assert!(in_development.get("/", []).send().await.is_ok());
    let written_down = StaticResolver::new();
    written_down.set("user-service", [server.endpoint()]);
    assert!(client(Arc::new(written_down)).build().unwrap().get("/", []).send().await.is_ok());
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn nobody_is_sent_to_metadata_services_and_ports_of_administration() {
    for (endpoint, reason) in [
        ("http://169.254.169.254", "link-local"),
        ("http://[fe80::1]:8080", "link-local"),
        ("http://[::ffff:169.254.169.254]:8080", "link-local"),
        ("http://10.0.0.1:6379", "port 6379"),
        ("http://10.0.0.1:2375", "port 2375"),
        ("https://10.0.0.1:10250", "port 10250"),
    ] {
        let written_down = StaticResolver::new();
        written_down.set("user-service", [Endpoint::parse(endpoint).unwrap()]);
        for resolver in [announced(endpoint), Arc::new(written_down)] {
            let client = client(resolver).build().unwrap();
            assert!(refusal(&client).await.contains(reason), "{endpoint}");
        }
    }
}

#[tokio::test]
async fn a_list_of_networks_holds_for_everybody() {
    let (server, calls) = internal().await;
    let mut config = ClientConfig::default();
    config.egress.networks = vec!["10.0.0.0/8".to_owned()];
    let resolver = StaticResolver::new();
    resolver.set("user-service", [server.endpoint()]);
    let resolver = Arc::new(resolver);
    let elsewhere = client(resolver.clone()).config(config.clone()).build().unwrap();
    assert!(refusal(&elsewhere).await.contains("in none of `egress.networks`"));
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    config.egress.networks.push("127.0.0.0/8".to_owned());
    assert!(client(resolver.clone()).config(config.clone()).build().unwrap().get("/", []).send().await.is_ok());
    config.egress.networks = vec!["everything".to_owned()];
    assert_eq!(client(resolver).config(config).build().unwrap_err().field(), "egress.networks");
}

#[tokio::test]
async fn a_gateway_is_no_way_to_what_it_alone_can_reach() {
    let (server, calls) = internal().await;
    let route = || Route::new("/").to("user-service").public();
    let through = async |gateway: Gateway| {
        let edge = serve_with(gateway.into_router(), "127.0.0.1:0", ServerConfig::default()).await;
        ask(edge.addr, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await
    };
    let endpoint = server.endpoint().to_string();
    let gateway = Gateway::builder().resolver(announced(&endpoint)).route(route()).build().unwrap();
    let refused = through(gateway).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "SERVICE_UNAVAILABLE"));
    assert!(!refused.body.contains("127.0.0.1"), "{refused:?}");
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    let gateway = Gateway::builder().resolver(announced(&endpoint)).insecure_allow_loopback().route(route());
    assert_eq!(through(gateway.build().unwrap()).await.status, 200);
    let mut upstream = UpstreamConfig::default();
    upstream.connect_timeout = Duration::from_secs(1);
    upstream.egress.networks = vec!["10.0.0.0/33".to_owned()];
    let error =
        Gateway::builder().resolver(announced(&endpoint)).upstream(upstream).route(route()).build().unwrap_err();
    assert_eq!(error.field(), "upstream.egress.networks");
}

//! A gateway as a service.

use std::{collections::HashSet, sync::Arc};

use axum::{Router, routing::get as route};
use sap_comm::{
    RunningService, Service, ServiceError,
    auth::JwtVerifier,
    rest::{
        gateway::{Gateway, GatewayBuilder, Route},
        server::{KitConfig, ServerConfig},
    },
};
use tokio::{net::TcpStream, sync::Semaphore};

use crate::client::get;

fn local(router: Router) -> GatewayBuilder {
    Gateway::builder().without_rate_limit().fallback(router).route(Route::new("/own").local().public())
}

async fn start(gateway: GatewayBuilder, workers: usize) -> RunningService {
    let mut server = ServerConfig::default();
    server.workers = workers;
    let service = Service::builder("api-gateway").server(server).gateway(gateway.build().unwrap());
    service.build().unwrap().start().await.unwrap()
}

fn threads() -> Router {
    let name = async || std::thread::current().name().unwrap_or_default().to_owned();
    Router::new().route("/thread", route(name))
}

#[tokio::test]
async fn a_gateway_is_served_by_its_workers() {
    let running = start(local(threads()), 2).await;
    let mut seen = HashSet::new();
    // The kernel spreads them by a hash of their ports: after so many, one thread without any is next to impossible.
    for _ in 0..200 {
        let answer = get(running.local_addr(), "/thread").await;
        seen.insert(answer.rsplit("\r\n").next().unwrap().to_owned());
        if seen.len() == 2 {
            break;
        }
    }
    assert_eq!(seen, ["worker-0".to_owned(), "worker-1".to_owned()].into());
    running.drain().await.unwrap();
}

#[tokio::test]
async fn probes_are_answered_whatever_the_routes_say() {
    for workers in [0, 2] {
        let denied = Route::new("/health/ready").local().public().methods(["POST"]);
        let running = start(local(threads()).route(denied), workers).await;
        let ready = get(running.local_addr(), "/health/ready").await;
        assert!(ready.starts_with("HTTP/1.1 200") && ready.contains("x-request-id"), "{ready}");
        assert!(get(running.local_addr(), "/health/live").await.ends_with(r#"{"status":"up"}"#));
        assert!(get(running.local_addr(), "/health/other").await.starts_with("HTTP/1.1 404"));
        running.drain().await.unwrap();
    }
}

#[tokio::test]
async fn a_check_that_fails_shows_in_the_probe_of_a_gateway() {
    let gateway = local(threads()).build().unwrap();
    let service = Service::builder("a").gateway(gateway).health("part", async || Err::<(), _>("it is away"));
    let running = service.build().unwrap().start().await.unwrap();
    let answer = get(running.local_addr(), "/health/ready").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains(r#""part":"down""#), "{answer}");
    running.drain().await.unwrap();
}

#[tokio::test]
async fn a_drain_finishes_the_requests_of_every_worker() {
    let (begun, go_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (tell, wait) = (begun.clone(), go_on.clone());
    let slow = async move || {
        tell.add_permits(1);
        wait.acquire().await.unwrap().forget();
        "finished"
    };
    let running = start(local(Router::new().route("/slow", route(slow))), 2).await;
    let address = running.local_addr();
    let requests: Vec<_> = (0..8).map(|_| tokio::spawn(async move { get(address, "/slow").await })).collect();
    begun.acquire_many(8).await.unwrap().forget();
    let drained = tokio::spawn(running.drain());
    // Until nobody accepts any more.
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    go_on.add_permits(8);
    for request in requests {
        assert!(request.await.unwrap().ends_with("finished"));
    }
    drained.await.unwrap().unwrap();
}

#[tokio::test]
async fn credentials_in_clear_text_from_other_machines_are_refused_at_the_start() {
    let verifier = JwtVerifier::builder("auth-service", "sap").build().unwrap();
    let guarded = Route::new("/thread").local().authenticated();
    let gateway = local(threads()).authenticator(verifier).route(guarded).build().unwrap();
    let service = Service::builder("a").listen(([0, 0, 0, 0], 0).into()).gateway(gateway);
    let error = service.build().unwrap().start().await.unwrap_err();
    assert!(error.to_string().contains("clear text") && error.to_string().contains("/thread"), "{error}");
}

#[tokio::test]
async fn what_a_gateway_would_not_heed_is_refused() {
    let builder = || Service::builder("a").gateway(local(threads()).build().unwrap());
    for (service, expected) in
        [(builder().routes(Router::new()), "routes"), (builder().requests(KitConfig::default()), "requests")]
    {
        let Err(ServiceError::Config { field, .. }) = service.build() else { panic!("{expected} was taken") };
        assert_eq!(field, expected);
    }
}

//! A server with threads of its own.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use axum::{Router, extract::Request, routing::get};
use sap_comm_rest::server::{Server, ServerConfig, ServerError};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::support::Connection;

fn config(workers: usize) -> ServerConfig {
    let mut config = ServerConfig::default();
    config.workers = workers;
    config
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn each_worker_serves_connections_on_a_thread_of_its_own() {
    let threads = Arc::new(Mutex::new(HashSet::new()));
    let seen = Arc::clone(&threads);
    let router = Router::new().route(
        "/",
        get(async move |_: Request| {
            let name = std::thread::current().name().map(ToOwned::to_owned);
            seen.lock().unwrap().insert(name);
            "here"
        }),
    );
    let server = Server::bind("127.0.0.1:0", config(2)).await.unwrap();
    let address = server.local_addr();
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(server.serve(router, shutdown.clone()));
    let expected: HashSet<_> = [Some("worker-0".to_owned()), Some("worker-1".to_owned())].into();
    // The kernel spreads them by a hash of their ports: after so many, one thread without any is next to impossible.
    for _ in 0..200 {
        if *threads.lock().unwrap() == expected {
            break;
        }
        let mut connection = Connection::open(address).await;
        connection.send(GET).await;
        assert_eq!(connection.answer().await.status, 200);
    }
    assert_eq!(*threads.lock().unwrap(), expected);
    shutdown.cancel();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_drain_waits_for_the_requests_of_every_worker() {
    let (begun, go_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (tell, wait) = (Arc::clone(&begun), Arc::clone(&go_on));
    let router = Router::new().route(
        "/",
        get(async move || {
            tell.add_permits(1);
            wait.acquire().await.unwrap().forget();
            "done"
        }),
    );
    let server = Server::bind("127.0.0.1:0", config(2)).await.unwrap();
    let address = server.local_addr();
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(server.serve(router, shutdown.clone()));
    let mut open = Vec::new();
    for _ in 0..8 {
        let mut connection = Connection::open(address).await;
        connection.send(GET).await;
        begun.acquire().await.unwrap().forget();
        open.push(connection);
    }
    shutdown.cancel();
    go_on.add_permits(8);
    for mut connection in open {
        assert_eq!(connection.answer().await.status, 200);
    }
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_is_left_at_the_end_of_the_drain_is_cut_and_counted() {
    let begun = Arc::new(Semaphore::new(0));
    let tell = Arc::clone(&begun);
    let router = Router::new().route(
        "/",
        get(async move || {
            tell.add_permits(1);
            std::future::pending::<&'static str>().await
        }),
    );
    let mut config = config(2);
    config.drain_timeout = std::time::Duration::from_millis(50);
    let server = Server::bind("127.0.0.1:0", config).await.unwrap();
    let address = server.local_addr();
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(server.serve(router, shutdown.clone()));
    let mut connection = Connection::open(address).await;
    connection.send(GET).await;
    begun.acquire().await.unwrap().forget();
    shutdown.cancel();
    let error = serving.await.unwrap().unwrap_err();
    assert!(matches!(error, ServerError::Cut { connections: 1, .. }), "{error}");
}

#[tokio::test]
async fn a_port_that_another_server_has_is_not_shared_with_it() {
    let first = Server::bind("127.0.0.1:0", config(2)).await.unwrap();
    for workers in [0, 2] {
        let error = Server::bind(first.local_addr().to_string(), config(workers)).await.unwrap_err();
        assert!(matches!(error, ServerError::AddressInUse { .. }), "{workers}: {error}");
    }
}

#[tokio::test]
async fn more_workers_than_connections_are_refused() {
    let mut config = config(3);
    config.max_connections = 2;
    let error = Server::bind("127.0.0.1:0", config).await.unwrap_err();
    assert!(error.to_string().contains("`workers` = 3"), "{error}");
}

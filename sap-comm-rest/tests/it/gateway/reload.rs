//! Routes replaced while requests are served.

use std::{sync::Arc, time::Duration};

use axum::{Router, http::StatusCode};
use sap_comm_resilience::State;
use sap_comm_rest::{
    gateway::{Gateway, GatewayConfig, Quota, Route},
    server::{Server, ServerConfig},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

use super::support::{Running, Wire, get, resolver, serve, to_service, upstream, verifier, within};
use crate::support::Files;

const EVERY: Duration = Duration::from_millis(5);

fn config(routes: impl IntoIterator<Item = Route>) -> GatewayConfig {
    let mut config = GatewayConfig::default();
    config.rate_limit = None;
    config.routes = routes.into_iter().map(Into::into).collect();
    config
}

async fn named(name: &'static str) -> Running {
    upstream(Router::new().fallback(async move || name)).await
}

fn route(path: &str, service: &str) -> String {
    format!("[[routes]]\npath = \"{path}\"\naccess = \"public\"\ntarget = {{ service = \"{service}\" }}\n")
}

#[tokio::test]
async fn a_changed_file_replaces_the_routes_and_an_invalid_one_is_refused_with_key_and_line() {
    let (one, two) = (named("one").await, named("two").await);
    let files = Files::new();
    let path = files.write("routes.toml", &route("/a", "one"));
    let gateway = Gateway::builder()
        .resolver(resolver(&[("one", &[&one]), ("two", &[&two])]))
        .route(Route::new("/fixed").to("one").public())
        .routes_file(&path, EVERY)
        .build()
        .unwrap();
    let mut status = gateway.routes_status().unwrap();
    let edge = serve(gateway.clone()).await;
    assert_eq!(get(&edge, "/a").await.body, b"one");
    assert_eq!(get(&edge, "/b").await.status, 404);

    files.write("routes.toml", &route("/b", "two"));
    within(status.changed()).await.unwrap();
    assert_eq!((status.borrow_and_update().generation, get(&edge, "/a").await.status), (1, 404));
    assert_eq!(get(&edge, "/b").await.body, b"two");
    assert_eq!(get(&edge, "/fixed").await.body, b"one", "routes of the program stay");

    for (text, parts) in [
        (format!("{}acess = 1\n", route("/c", "two")), &["acess", "line 5"][..]),
        (format!("{}roles = [\"admin\"]\n", route("/c", "two")), &["routes[/c].roles", "line 5", "routes.toml"]),
        (format!("{}{}", route("/c", "two"), route("/c", "one")), &["routes[/c].path", "line 6"]),
        ("routes = 7\n".to_owned(), &["routes", "line 1"]),
        ("[[".to_owned(), &["line 1"]),
    ] {
        files.write("routes.toml", &text);
        within(status.changed()).await.unwrap();
        let error = status.borrow_and_update().error.clone().unwrap();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        assert_eq!(get(&edge, "/b").await.body, b"two", "the routes before stay");
    }
    assert_eq!(status.borrow().generation, 1);

    files.write("routes.toml", &route("/c", "one"));
    within(status.changed()).await.unwrap();
    assert_eq!((status.borrow().generation, status.borrow().error.clone()), (2, None));
    assert_eq!(get(&edge, "/c").await.body, b"one");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_being_written_is_not_served_by() {
    let files = Files::new();
    let path = files.write("routes.toml", &route("/a", "one"));
    let gateway = Gateway::builder().resolver(resolver(&[])).routes_file(&path, EVERY).build().unwrap();
    let status = gateway.routes_status().unwrap();
    // In place, and cut where a line ends: what is there is a list of routes, and not the one that is meant.
    std::fs::write(&path, route("/b", "two")).unwrap();
    tokio::time::sleep(EVERY * 3 / 2).await;
    std::fs::write(&path, format!("{}timeout = \"3s\"\n", route("/b", "two"))).unwrap();
    tokio::time::sleep(EVERY).await;
    assert_eq!(status.borrow().generation, 0, "two looks have seen different files");
    tokio::time::sleep(EVERY).await;
    assert_eq!((status.borrow().generation, status.borrow().error.clone()), (1, None));
}

#[tokio::test]
async fn json_serves_as_well_and_a_file_that_goes_leaves_the_routes() {
    let one = named("one").await;
    let text = r#"{"routes": [{"path": "/a", "access": "public", "target": {"service": "test"}, "timeout": "3s"}]}"#;
    let files = Files::new();
    let path = files.write("routes.json", text);
    let gateway = to_service(&one).routes_file(&path, EVERY).build().unwrap();
    let mut status = gateway.routes_status().unwrap();
    let edge = serve(gateway.clone()).await;
    assert_eq!(get(&edge, "/a").await.body, b"one");
    std::fs::remove_file(&path).unwrap();
    within(status.changed()).await.unwrap();
    assert!(status.borrow_and_update().error.as_deref().is_some_and(|error| error.contains("routes.json")));
    assert_eq!(get(&edge, "/a").await.body, b"one");
    assert_eq!(gateway.reload(config([])).unwrap_err().field(), "routes", "the file rules");
    files.write("routes.json", text);
    within(status.changed()).await.unwrap();
    assert_eq!(status.borrow_and_update().error, None, "it is back");
}

#[tokio::test]
async fn a_file_that_cannot_be_served_by_is_refused_at_the_start() {
    let (files, one) = (Files::new(), named("one").await);
    for (name, text, part) in [
        ("routes.toml", "[[routes]]\npath = \"/a\"\n", "None: line 2:"),
        ("routes.yaml", "", "routes.yaml"),
        ("routes.json", "{\"routes\": [\n]\n", "line 3"),
    ] {
        let path = files.write(name, text);
        let error = to_service(&one).routes_file(&path, EVERY).build().unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let error = to_service(&one).routes_file("nowhere/routes.toml", EVERY).build().unwrap_err();
    assert!(error.to_string().contains("nowhere/routes.toml"), "{error}");
}

#[tokio::test]
async fn a_request_ends_by_the_routes_it_came_under() {
    let slow = Arc::new((tokio::sync::Semaphore::new(0), tokio::sync::Semaphore::new(0)));
    let gate = Arc::clone(&slow);
    let service = upstream(Router::new().fallback(async move || {
        gate.0.add_permits(1);
        gate.1.acquire().await.unwrap().forget();
        "late"
    }));
    let (service, other) = (service.await, named("other").await);
    let gateway = Gateway::builder()
        .resolver(resolver(&[("slow", &[&service]), ("other", &[&other])]))
        .config(config([Route::new("/slow").to("slow").public()]))
        .build()
        .unwrap();
    let edge = serve(gateway.clone()).await;
    let mut wire = Wire::open(&edge).await;
    wire.write("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    within(slow.0.acquire()).await.unwrap().forget();
    gateway.reload(config([Route::new("/other").to("other").public()])).unwrap();
    assert_eq!(get(&edge, "/slow").await.status, 404);
    slow.1.add_permits(1);
    assert_eq!(wire.answer().await.body, b"late");
}

#[tokio::test]
async fn what_stays_keeps_its_breaker_its_connections_and_its_counts() {
    let broken = upstream(Router::new().fallback(async || StatusCode::INTERNAL_SERVER_ERROR)).await;
    let routes = || {
        [Route::new("/a").to("test").public(), Route::new("/few").to("test").public().rate_limit(Quota::per_hour(1))]
    };
    let mut first = config(routes());
    first.breaker.minimum_throughput = 3;
    let gateway = to_service(&broken).config(first.clone()).build().unwrap();
    let edge = serve(gateway.clone()).await;
    for status in [500, 500] {
        assert_eq!(get(&edge, "/a").await.status, status);
    }
    assert_eq!(get(&edge, "/few").await.status, 500);
    assert_eq!(gateway.breakers()[0].state, State::Open);
    let mut second = first.clone();
    second.routes.push(Route::new("/more").to("test").public().into());
    gateway.reload(second.clone()).unwrap();
    assert_eq!(gateway.breakers()[0].state, State::Open);
    assert_eq!(get(&edge, "/few").await.code(), "RATE_LIMITED");
    let mut renamed = second;
    renamed.service = "other".to_owned();
    assert_eq!(gateway.reload(renamed).unwrap_err().field(), "service");
    type Change = fn(&mut GatewayConfig);
    let changes: [(&str, Change); 3] = [
        ("log.max_waiting", |config| config.log.max_waiting = 7),
        ("max_tunnels", |config| config.max_tunnels = Some(7)),
        ("tunnel_idle", |config| config.tunnel_idle = Duration::from_secs(7)),
    ];
    for (field, change) in changes {
        let mut changed = config([Route::new("/a").to("test").public()]);
        change(&mut changed);
        assert_eq!(gateway.reload(changed).unwrap_err().field(), field);
    }
}

#[tokio::test]
async fn a_reload_takes_no_credentials_in_clear_text_from_other_machines() {
    let public = config([Route::new("/a").to("test").public().methods(["GET"])]);
    let gateway = Gateway::builder().resolver(resolver(&[])).authenticator(verifier()).config(public).build().unwrap();
    // The guard knows of every place, and not of the first one only.
    let over = CancellationToken::new();
    over.cancel();
    let private = Server::bind("127.0.0.1:0", ServerConfig::default()).await.unwrap();
    gateway.clone().serve(private, over).await.unwrap();
    let server = Server::bind("0.0.0.0:0", ServerConfig::default()).await.unwrap();
    let (ended, port) = (CancellationToken::new(), server.local_addr().port());
    let serving = tokio::spawn({
        let (gateway, ended) = (gateway.clone(), ended.clone());
        async move { gateway.serve(server, ended).await }
    });
    let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    client.write_all(b"GET /unknown HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    within(client.read_u8()).await.expect("it is served");
    let error = gateway.reload(config([Route::new("/b").to("test").authenticated()])).unwrap_err().to_string();
    assert!(error.contains("clear text") && error.contains("/b"), "{error}");
    ended.cancel();
    serving.await.unwrap().unwrap();
}

//! A service that hangs, and the others.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, response::IntoResponse, routing::get as get_route};
use futures_util::StreamExt;
use http::{Request, StatusCode};
use sap_comm_rest::{
    gateway::{Gateway, GatewayConfig, Route, UpstreamConfig},
    server::{Server, ServerConfig},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;

use super::support::{
    Wire, echo, get, raw_upstream, read_head, resolver, serve, serve_by, serve_impatiently, to, to_service, until,
    upstream, within,
};

fn bounded(max_in_flight: usize) -> UpstreamConfig {
    let mut upstream = UpstreamConfig::default();
    upstream.max_in_flight = max_in_flight;
    upstream
}

/// Tells of one event, and of no other.
async fn events() -> impl IntoResponse {
    let first = futures_util::stream::once(async { Ok::<_, std::io::Error>("data: 1\n\n") });
    ([("content-type", "text/event-stream")], Body::from_stream(first.chain(futures_util::stream::pending())))
}

#[tokio::test]
async fn a_short_answer_that_has_come_leaves_its_service_before_it_is_taken() {
    let some = |length| get_route(async move || "a".repeat(length));
    let streamed = async || Body::from_stream(futures_util::stream::iter([Ok::<_, std::io::Error>("a")]));
    let router = Router::new().route("/short", some(4_096)).route("/long", some(4_097));
    let router = router.route("/streamed", get_route(streamed)).route("/nothing", get_route(StatusCode::NO_CONTENT));
    let service = upstream(router).await;
    let gateway = to_service(&service).upstream(bounded(1)).route(Route::new("/").to("test").public()).build().unwrap();
    let ask = async |method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path).header("host", "a.test");
        gateway.handle(request.body(Body::empty()).unwrap()).await
    };
    let in_flight = || gateway.snapshot().upstreams[0].in_flight;
    for (method, path, length, leaves) in [
        ("GET", "/short", 4_096, true),
        ("HEAD", "/long", 0, true),
        ("GET", "/nothing", 0, true),
        ("GET", "/long", 4_097, false),
        ("GET", "/streamed", 1, false),
    ] {
        let answer = ask(method, path).await;
        assert!(answer.status().is_success(), "{method} {path}: {answer:?}");
        // Longer than an id of random digits would have it.
        assert!(!format!("{answer:?}").contains(&"a".repeat(16)), "what an answer says is shown to nobody else");
        assert_eq!(in_flight() == 0, leaves, "{method} {path}");
        let other = ask("GET", "/nothing").await.status();
        assert_eq!(other == StatusCode::NO_CONTENT, leaves, "{method} {path}: {other}");
        let body = axum::body::to_bytes(Body::new(answer.into_body()), 10_000).await.unwrap();
        assert_eq!((body.len(), in_flight()), (length, 0), "{method} {path}");
    }
    // One that is given up gives its place back, too.
    drop(ask("GET", "/streamed").await);
    assert_eq!(in_flight(), 0);
}

#[tokio::test]
async fn a_service_that_hangs_takes_its_share_and_nothing_of_the_others() {
    const SHARE: usize = 16;
    let (arrived, free) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (tell, wait) = (Arc::clone(&arrived), Arc::clone(&free));
    let hung = upstream(Router::new().fallback(async move || {
        tell.add_permits(1);
        let _ = wait.acquire().await.map(tokio::sync::SemaphorePermit::forget);
        "at last"
    }));
    let (hung, sound) = (hung.await, upstream(echo()).await);
    let mut config = GatewayConfig::default();
    config.rate_limit = None;
    config.upstream.max_in_flight = SHARE;
    let gateway = Gateway::builder()
        .config(config)
        .resolver(resolver(&[("hung", &[&hung]), ("sound", &[&sound])]))
        .route(Route::new("/hung").to("hung").public().timeout(Duration::from_secs(600)))
        .route(Route::new("/sound").to("sound").public())
        .build()
        .unwrap();
    let edge = serve(gateway.clone()).await;
    let mut waiting = Vec::new();
    for _ in 0..SHARE {
        let mut wire = Wire::open(&edge).await;
        wire.write("GET /hung HTTP/1.1\r\nHost: a\r\n\r\n").await;
        within(arrived.acquire()).await.unwrap().forget();
        waiting.push(wire);
    }
    for _ in 0..10 {
        let refused = get(&edge, "/hung").await;
        assert_eq!((refused.status, refused.code().as_str()), (503, "OVERLOADED"));
        assert!(refused.header("retry-after").is_some());
        assert_eq!(get(&edge, "/sound").await.status, 200);
    }
    let in_flight: Vec<_> = gateway.snapshot().upstreams.iter().map(|upstream| upstream.in_flight).collect();
    assert_eq!(in_flight, [SHARE, 0]);
    free.add_permits(SHARE);
    for mut wire in waiting {
        assert_eq!(wire.answer().await.body, b"at last");
    }
    free.add_permits(1);
    assert_eq!(get(&edge, "/hung").await.status, 200, "its share is free again");
}

#[tokio::test]
async fn a_client_that_goes_gives_its_place_back() {
    let arrived = Arc::new(Semaphore::new(0));
    let tell = Arc::clone(&arrived);
    let hung = upstream(Router::new().fallback(async move || {
        tell.add_permits(1);
        std::future::pending::<&'static str>().await
    }));
    let hung = hung.await;
    let gateway = to(&hung).upstream(bounded(1)).build().unwrap();
    let edge = serve_impatiently(gateway.clone()).await;
    for _ in 0..3 {
        let mut wire = Wire::open(&edge).await;
        wire.write("GET /api HTTP/1.1\r\nHost: a\r\n\r\n").await;
        within(arrived.acquire()).await.unwrap().forget();
        drop(wire);
        until(|| gateway.snapshot().upstreams[0].in_flight == 0).await;
    }
}

#[tokio::test]
async fn clients_that_send_slowly_leave_room_for_the_others() {
    let service = upstream(echo()).await;
    let gateway = to(&service).upstream(bounded(4)).build().unwrap();
    let edge = serve_impatiently(gateway.clone()).await;
    let uploading = async |count| until(|| gateway.snapshot().upstreams[0].uploading == count).await;
    let post = async |rest: &str| {
        let mut wire = Wire::open(&edge).await;
        wire.write(&format!("POST /api HTTP/1.1\r\nHost: a\r\n{rest}")).await;
        wire
    };
    let mut slow = Vec::new();
    for half in ["Content-Length: 4\r\n\r\nab", "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"] {
        slow.push(post(half).await);
        uploading(slow.len()).await;
    }
    for (refused, why) in [
        ("Content-Length: 2\r\n\r\na", "it does not come"),
        ("Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n", "its end does not come"),
        ("Content-Length: 20000\r\n\r\na", "it is long"),
    ] {
        let answer = post(refused).await.answer().await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "OVERLOADED"), "{why}");
        assert!(answer.header("retry-after").is_some());
    }
    let malformed = post("Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n").await.answer().await;
    assert_eq!((malformed.status, malformed.code().as_str()), (400, "BAD_REQUEST"));
    assert_eq!(malformed.header("connection"), Some("close"), "where its end is nobody knows");
    let pieces = format!("Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n", "1\r\na\r\n".repeat(200));
    for (others, body) in [
        ("Content-Length: 4\r\n\r\nabcd", "abcd"),
        ("Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n", "abcd"),
        (&*pieces, &*"a".repeat(200)),
    ] {
        let answer = post(others).await.answer().await;
        assert_eq!((answer.status, answer.json()["body"].as_str()), (200, Some(body)), "{others}");
    }
    assert_eq!(get(&edge, "/api").await.status, 200);
    let mut soon = post("Content-Length: 4\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    soon.write("abcd").await;
    assert_eq!(soon.answer().await.json()["body"], "abcd", "a short body is waited for");

    assert_eq!(gateway.snapshot().upstreams[0].uploading, 2);
    slow[0].write("cd").await;
    assert_eq!(slow[0].answer().await.json()["body"], "abcd");
    uploading(1).await;
    let mut long = post("Content-Length: 20000\r\n\r\n").await;
    uploading(2).await;
    // Another one has the next place that is free.
    let mut next = post(&format!("Content-Length: 20000\r\n\r\n{}", "b".repeat(20_000))).await;
    long.write(&"a".repeat(20_000)).await;
    assert_eq!(long.answer().await.status, 200);
    assert_eq!(next.answer().await.status, 200);
    drop(slow);
    uploading(0).await;
}

#[tokio::test]
async fn streams_of_events_take_nothing_of_what_requests_have() {
    let service = upstream(Router::new().route("/api/events", get_route(events)).merge(echo())).await;
    let mut config = GatewayConfig::default();
    config.max_tunnels = Some(2);
    let gateway = to_service(&service).config(config).upstream(bounded(1));
    let gateway = gateway.route(Route::new("/api").to("test").public()).build().unwrap();
    let edge = serve_impatiently(gateway.clone()).await;
    let listen = async || {
        let mut wire = Wire::open(&edge).await;
        wire.write("GET /api/events HTTP/1.1\r\nHost: a\r\n\r\n").await;
        wire
    };
    let mut listeners = Vec::new();
    for open in [1, 2] {
        let mut wire = listen().await;
        assert!(within(read_head(&mut wire.0)).await.starts_with("HTTP/1.1 200"));
        listeners.push(wire);
        let snapshot = gateway.snapshot();
        assert_eq!((snapshot.tunnels, snapshot.upstreams[0].in_flight), (open, 0));
        assert_eq!(get(&edge, "/api").await.status, 200);
    }
    // A further one is a request like any other.
    let mut third = listen().await;
    assert!(within(read_head(&mut third.0)).await.starts_with("HTTP/1.1 200"));
    let snapshot = gateway.snapshot();
    assert_eq!((snapshot.tunnels, snapshot.upstreams[0].in_flight), (2, 1));
    assert_eq!(get(&edge, "/api").await.code(), "OVERLOADED");
    drop(third);
    drop(listeners);
    until(|| gateway.snapshot().tunnels + gateway.snapshot().upstreams[0].in_flight == 0).await;
    gateway.close_tunnels().await;
    assert!(within(read_head(&mut listen().await.0)).await.starts_with("HTTP/1.1 200"), "it is served on");
}

#[tokio::test]
async fn a_stream_of_events_does_not_keep_a_gateway_from_stopping() {
    let service = upstream(Router::new().fallback(events)).await;
    let gateway = to(&service).build().unwrap();
    let mut config = ServerConfig::default();
    config.drain_timeout = Duration::from_secs(2);
    let server = Server::bind("127.0.0.1:0", config).await.unwrap();
    let (address, stop) = (server.local_addr(), CancellationToken::new());
    let served = tokio::spawn(gateway.serve(server, stop.clone()));
    let mut wire = Wire(TcpStream::connect(address).await.unwrap());
    wire.write("GET /api HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(within(read_head(&mut wire.0)).await.starts_with("HTTP/1.1 200"));
    stop.cancel();
    within(served).await.unwrap().expect("nothing had to be cut");
    let mut rest = Vec::new();
    let _ = wire.0.read_to_end(&mut rest).await;
    assert!(rest.starts_with(b"9\r\ndata: 1") && !rest.ends_with(b"0\r\n\r\n"), "it is broken off");
}

#[tokio::test]
async fn runtimes_share_no_connection() {
    let opened = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&opened);
    let serve_all = move |mut stream: TcpStream, _| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            while !read_head(&mut stream).await.is_empty() {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
            }
        }
    };
    let service = raw_upstream(serve_all).await;
    let gateway = to(&service).build().unwrap();
    let mut config = ServerConfig::default();
    config.workers = 1;
    let on_workers = [serve_by(gateway.clone(), config.clone()).await, serve_by(gateway.clone(), config).await];
    let here = serve(gateway).await;
    for _ in 0..2 {
        for edge in on_workers.iter().chain([&here]) {
            assert_eq!(get(edge, "/api").await.body, b"ok");
        }
    }
    assert_eq!(opened.load(Ordering::SeqCst), 3, "a connection ends with the runtime that it was made on");
}

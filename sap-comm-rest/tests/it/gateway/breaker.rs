use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, http::StatusCode};
use sap_comm_resilience::{CircuitBreakerConfig, State};
use sap_comm_rest::gateway::{Gateway, Route, UpstreamConfig};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

use super::support::{
    Running, Wire, canned, echo, get, raw_upstream, read_head, resolver, serve, serve_impatiently, to, to_service,
    until, upstream, upstream_at, within,
};
use crate::support::frames::{END_HEADERS, END_STREAM, GET, kind, open};

fn sensitive() -> CircuitBreakerConfig {
    let mut config = CircuitBreakerConfig::default();
    config.minimum_throughput = 3;
    config.reset_timeout = Duration::from_millis(300);
    config.reset_jitter = 0.0;
    config.ramp = Duration::ZERO;
    config
}

#[tokio::test]
async fn the_breaker_opens_when_the_service_goes_and_closes_when_it_is_back() {
    let service = upstream(echo()).await;
    let gateway = to(&service).breaker(sensitive()).build().unwrap();
    let edge = serve(gateway.clone()).await;
    assert_eq!(get(&edge, "/api").await.status, 200);

    let address = service.stop().await;
    let mut codes = Vec::new();
    while codes.last().is_none_or(|code| code != "CIRCUIT_OPEN") {
        let answer = get(&edge, "/api").await;
        assert_eq!(answer.status, 503);
        assert!(answer.header("retry-after").is_some());
        codes.push(answer.code());
        assert!(codes.len() < 20, "{codes:?}");
    }
    assert!(codes.contains(&"SERVICE_UNAVAILABLE".to_owned()), "{codes:?}");
    assert_eq!(gateway.breakers()[0].state, State::Open);

    let _service = upstream_at(address, echo()).await;
    // Each request is one look at the breaker, until a probe finds the service.
    let recovered = async { while get(&edge, "/api").await.status != 200 {} };
    within(recovered).await;
    assert_eq!(gateway.breakers()[0].state, State::Closed);
}

#[tokio::test]
async fn a_client_that_sends_slowly_does_not_keep_the_probe() {
    probe_slowly(true).await;
}

#[tokio::test]
async fn a_client_that_sends_slowly_closes_the_breaker_all_the_same() {
    probe_slowly(false).await;
}

async fn probe_slowly(asked_by_others: bool) {
    let service = upstream(echo()).await;
    let gateway = to(&service).breaker(sensitive()).build().unwrap();
    let edge = serve(gateway.clone()).await;
    let address = service.stop().await;
    while gateway.breakers()[0].state != State::Open {
        assert_eq!(get(&edge, "/api").await.status, 503);
    }
    let _service = upstream_at(address, echo()).await;
    let mut slow = Wire::open(&edge).await;
    // Refused until the breaker asks the service again.
    while gateway.breakers()[0].state != State::HalfOpen {
        slow = Wire::open(&edge).await;
        slow.write("POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab").await;
        let state = async {
            while gateway.breakers()[0].state == State::Open && gateway.snapshot().upstreams[0].in_flight == 0 {
                let mut byte = [0];
                if tokio::time::timeout(Duration::from_millis(20), slow.0.peek(&mut byte)).await.is_ok() {
                    break;
                }
            }
        };
        within(state).await;
    }
    if asked_by_others {
        let recovered = async { while get(&edge, "/api").await.status != 200 {} };
        within(recovered).await;
        assert_eq!(gateway.breakers()[0].state, State::Closed);
    } else {
        // It is given back meanwhile.
        until(|| gateway.breakers()[0].probes == 0).await;
        assert_eq!(gateway.breakers()[0].state, State::HalfOpen);
    }
    slow.write("cd").await;
    assert_eq!(slow.answer().await.json()["body"], "abcd", "it is served all the same");
    assert_eq!(gateway.breakers()[0].state, State::Closed);
}

#[tokio::test]
async fn answers_that_blame_the_service_open_its_breaker_and_no_other() {
    let broken = upstream(Router::new().fallback(async || StatusCode::INTERNAL_SERVER_ERROR)).await;
    let sound = upstream(Router::new().fallback(async || StatusCode::NOT_FOUND)).await;
    let gateway = Gateway::builder()
        .resolver(resolver(&[("broken", &[&broken]), ("sound", &[&sound])]))
        .route(Route::new("/broken").to("broken").public())
        .route(Route::new("/sound").to("sound").public())
        .breaker(sensitive())
        .build();
    let gateway = serve(gateway.unwrap()).await;
    for status in [500, 500, 500, 503] {
        assert_eq!(get(&gateway, "/broken").await.status, status);
    }
    for _ in 0..10 {
        assert_eq!(get(&gateway, "/sound").await.status, 404);
    }
}

#[tokio::test]
async fn a_service_without_endpoints_is_unavailable_at_once() {
    let gateway =
        Gateway::builder().resolver(resolver(&[("gone", &[])])).route(Route::new("/api").to("gone").public()).build();
    let gateway = serve(gateway.unwrap()).await;
    for _ in 0..20 {
        let answer = get(&gateway, "/api").await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "SERVICE_UNAVAILABLE"));
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
}

#[tokio::test]
async fn a_client_that_is_still_sending_cannot_open_the_breaker_for_others() {
    // Gives up on bodies that are on their way, as a service does that finds them too slow.
    let impatient = |request: axum::extract::Request| async move {
        if request.method() == "POST" { StatusCode::GATEWAY_TIMEOUT } else { StatusCode::OK }
    };
    let service = upstream(Router::new().fallback(impatient)).await;
    let gateway = to(&service).breaker(sensitive()).build().unwrap();
    let edge = serve(gateway.clone()).await;
    for _ in 0..10 {
        let mut wire = Wire::open(&edge).await;
        wire.write("POST /api HTTP/1.1\r\nhost: test\r\ncontent-length: 1000\r\n\r\nhalf").await;
        assert_eq!(wire.answer().await.status, 504);
    }
    assert_eq!(gateway.breakers()[0].state, State::Closed);
    assert_eq!(get(&edge, "/api").await.status, 200);
}

/// Asks, reads all that comes, and says it.
async fn read_all(edge: &Running) -> Vec<u8> {
    let mut wire = Wire::open(edge).await;
    wire.write("GET /api HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let mut all = Vec::new();
    // A broken answer may end with a reset.
    let _ = within(wire.0.read_to_end(&mut all)).await;
    all
}

/// How many calls succeeded and failed, as the breaker has it and as the endpoint.
fn counted(gateway: &Gateway) -> [(u64, u64); 2] {
    let upstream = gateway.snapshot().upstreams.remove(0);
    let (breaker, endpoint) = (upstream.breaker, &upstream.endpoints.endpoints[0]);
    [(breaker.succeeded, breaker.failed), (endpoint.successes, endpoint.failures)]
}

#[tokio::test]
async fn answers_that_break_off_open_the_breaker() {
    for (name, answer) in [
        ("a length", &b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"[..]),
        ("chunks", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
        ("no chunk", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhalf\r\n"),
    ] {
        let service = canned(answer).await;
        let gateway = to(&service).breaker(sensitive()).build().unwrap();
        let edge = serve(gateway.clone()).await;
        for _ in 0..3 {
            read_all(&edge).await;
        }
        assert_eq!((gateway.breakers()[0].state, counted(&gateway)[1]), (State::Open, (0, 3)), "{name}");
    }
}

#[tokio::test]
async fn answers_that_fall_silent_open_the_breaker_unless_they_have_no_length() {
    for (name, head, came, counts) in [
        ("a length", "Content-Length: 100\r\n\r\n", "half", (0, 3)),
        ("a length, and nothing came", "Content-Length: 100\r\n\r\n", "", (0, 3)),
        ("chunks", "Transfer-Encoding: chunked\r\n\r\n4\r\n", "half", (0, 0)),
        ("until it closes", "\r\n", "half", (0, 0)),
        ("chunks, and nothing came", "Transfer-Encoding: chunked\r\n\r\n", "", (0, 3)),
    ] {
        let service = raw_upstream(move |mut stream, _| async move {
            read_head(&mut stream).await;
            stream.write_all(format!("HTTP/1.1 200 OK\r\n{head}{came}").as_bytes()).await.unwrap();
            std::future::pending::<()>().await;
        })
        .await;
        let mut config = UpstreamConfig::default();
        config.idle_timeout = Duration::from_millis(50);
        let gateway = to(&service).upstream(config).breaker(sensitive()).build().unwrap();
        let edge = serve(gateway.clone()).await;
        for _ in 0..3 {
            let all = String::from_utf8(read_all(&edge).await).unwrap();
            assert!(all.starts_with("HTTP/1.1 200") && all.contains(came), "{name}: {all}");
        }
        let state = if counts == (0, 0) { State::Closed } else { State::Open };
        assert_eq!((gateway.breakers()[0].state, counted(&gateway)[1]), (state, counts), "{name}");
    }
}

#[tokio::test]
async fn answers_that_come_to_their_end_are_successes() {
    let large = "x".repeat(3 << 20);
    let router = Router::new().fallback(move || std::future::ready(large.clone()));
    for service in [
        upstream(router).await,
        canned(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await,
        canned(b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n").await,
        canned(b"HTTP/1.1 200 OK\r\n\r\nuntil the end").await,
        canned(b"HTTP/1.1 204 No Content\r\n\r\n").await,
    ] {
        let gateway = to(&service).breaker(sensitive()).build().unwrap();
        let edge = serve(gateway.clone()).await;
        for _ in 0..3 {
            read_all(&edge).await;
        }
        assert_eq!(counted(&gateway), [(3, 0); 2]);
    }
}

#[tokio::test]
async fn a_stream_of_events_holds_no_probe_and_a_client_that_leaves_blames_nobody() {
    for (kind, counts) in [("text/event-stream; charset=utf-8", (1, 0)), ("application/json", (0, 0))] {
        let service = raw_upstream(move |mut stream, _| async move {
            read_head(&mut stream).await;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            std::future::pending::<()>().await;
        })
        .await;
        let gateway = to(&service).breaker(sensitive()).build().unwrap();
        let edge = serve_impatiently(gateway.clone()).await;
        let mut wire = Wire::open(&edge).await;
        wire.write("GET /api HTTP/1.1\r\nHost: a\r\n\r\n").await;
        within(read_head(&mut wire.0)).await;
        assert_eq!(counted(&gateway), [counts; 2], "{kind}");
        drop(wire);
        until(|| gateway.snapshot().upstreams[0].in_flight == 0).await;
        assert_eq!(counted(&gateway), [counts; 2], "{kind}");
    }
}

#[tokio::test]
async fn clients_that_take_nothing_of_an_answer_cannot_open_the_breaker_for_others() {
    const INITIAL_WINDOW: u16 = 4;
    const STREAMS: [u32; 3] = [1, 3, 5];
    let (tired, (closed, mut closes)) = (CancellationToken::new(), mpsc::channel(STREAMS.len()));
    let gives_up = tired.clone();
    let service = raw_upstream(move |mut stream, _| {
        let (gives_up, closed) = (gives_up.clone(), closed.clone());
        async move {
            read_head(&mut stream).await;
            let chunk = format!("14\r\n{}\r\n", "x".repeat(20));
            let begun = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{chunk}");
            stream.write_all(begun.as_bytes()).await.unwrap();
            gives_up.cancelled().await;
            drop(stream);
            closed.send(()).await.unwrap();
        }
    })
    .await;
    let gateway = to_service(&service).route(Route::new("/").to("test").public()).breaker(sensitive());
    let gateway = gateway.build().unwrap();
    let edge = serve(gateway.clone()).await;
    let (mut sender, mut receiver) = open(edge.address, &[(INITIAL_WINDOW, 10)]).await;
    let mut all = async |wanted: u8| {
        let mut left = STREAMS.len();
        while left > 0 {
            let frame = receiver.next().await.unwrap();
            left -= usize::from(frame.kind == wanted && frame.stream > 0);
        }
    };
    for stream in STREAMS {
        assert!(sender.frame(kind::HEADERS, END_STREAM | END_HEADERS, stream, GET).await);
    }
    // The rest of the first chunk lies there, and the second one behind it.
    all(kind::DATA).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(2)).await;
    tokio::time::resume();
    tired.cancel();
    for _ in STREAMS {
        within(closes.recv()).await.unwrap();
    }
    for stream in STREAMS {
        assert!(sender.frame(kind::WINDOW_UPDATE, 0, stream, &1_000_u32.to_be_bytes()).await);
    }
    all(kind::RST_STREAM).await;
    assert_eq!((gateway.breakers()[0].state, counted(&gateway)), (State::Closed, [(0, 0); 2]));
}

#[tokio::test]
async fn a_probe_waits_for_no_client() {
    let well = Arc::new(AtomicBool::new(false));
    let is_well = Arc::clone(&well);
    let service = raw_upstream(move |mut stream, _| {
        let is_well = is_well.load(Ordering::SeqCst);
        async move {
            read_head(&mut stream).await;
            if is_well {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await.unwrap();
                std::future::pending::<()>().await;
            }
        }
    })
    .await;
    let gateway = to(&service).breaker(sensitive()).build().unwrap();
    let edge = serve(gateway.clone()).await;
    while gateway.breakers()[0].state == State::Closed {
        assert_ne!(get(&edge, "/api").await.status, 200);
    }
    well.store(true, Ordering::SeqCst);
    let probe = async {
        loop {
            let mut wire = Wire::open(&edge).await;
            wire.write("GET /api HTTP/1.1\r\nHost: a\r\n\r\n").await;
            if read_head(&mut wire.0).await.starts_with("HTTP/1.1 200") {
                return wire;
            }
        }
    };
    let _reading = within(probe).await;
    assert_eq!(gateway.breakers()[0].state, State::Closed);
}

#[tokio::test]
async fn a_loop_blames_nobody() {
    let service = canned(b"HTTP/1.1 508 Loop Detected\r\nContent-Length: 0\r\n\r\n").await;
    let gateway = to(&service).breaker(sensitive()).build().unwrap();
    let edge = serve(gateway.clone()).await;
    for _ in 0..5 {
        assert_eq!(get(&edge, "/api").await.status, 508);
    }
    assert_eq!((gateway.breakers()[0].state, counted(&gateway)), (State::Closed, [(0, 0); 2]));
}

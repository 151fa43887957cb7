//! What is asked again, and what never is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Bytes, extract::Request, http::StatusCode};
use sap_comm_core::StaticResolver;
use sap_comm_resilience::CircuitBreakerConfig;
use sap_comm_rest::gateway::{Gateway, GatewayBuilder, GatewayConfig, Route};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::{Running, Wire, get, raw_upstream, read_head, resolver, send, serve, until, upstream, within};

/// A service that answers with `status`, and counts how often.
async fn answering(status: StatusCode) -> (Running, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let router = Router::new().fallback(async move |_: Request| {
        count.fetch_add(1, Ordering::Relaxed);
        status
    });
    (upstream(router).await, asked)
}

fn gateway(endpoints: &[&Running], change: impl FnOnce(&mut GatewayConfig)) -> GatewayBuilder {
    let mut config = GatewayConfig::default();
    config.rate_limit = None;
    let mut breaker = CircuitBreakerConfig::default();
    breaker.minimum_throughput = 100_000;
    config.breaker = breaker;
    change(&mut config);
    Gateway::builder()
        .config(config)
        .resolver(resolver(&[("test", endpoints)]))
        .route(Route::new("/api").to("test").public())
}

/// Closes its first connection without a word once it has read a request, and answers on the others with the body.
async fn closing_at_first() -> (Running, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let running = raw_upstream(move |mut stream, number| {
        let count = Arc::clone(&count);
        async move {
            let head = read_head(&mut stream).await;
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split('\r').next()?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            stream.read_exact(&mut body).await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            if number > 0 {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
            }
            let _ = stream.shutdown().await;
        }
    });
    (running.await, asked)
}

#[tokio::test]
async fn an_idempotent_request_that_broke_off_is_sent_again_and_others_are_not() {
    for (method, body, status, attempts) in [
        ("GET", "", 200, 2),
        ("PUT", "a body", 200, 2),
        ("DELETE", "", 200, 2),
        ("POST", "a body", 502, 1),
        ("PATCH", "a body", 502, 1),
    ] {
        let (service, asked) = closing_at_first().await;
        let edge = serve(gateway(&[&service], |_| {}).build().unwrap()).await;
        let answer = send(&edge, method, "/api", &[], body).await;
        assert_eq!((answer.status, asked.load(Ordering::Relaxed)), (status, attempts), "{method}");
        if status == 200 {
            assert_eq!(answer.body, body.as_bytes(), "{method}");
        }
    }
}

#[tokio::test]
async fn all_attempts_share_the_time_of_one() {
    let late = Duration::from_millis(400);
    let service = raw_upstream(move |mut stream, number| async move {
        read_head(&mut stream).await;
        tokio::time::sleep(late).await;
        if number > 0 {
            // The client may have gone.
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    let service = service.await;
    for (timeout, status) in [(late + late / 2, 504), (late * 10, 200)] {
        let edge = serve(gateway(&[&service], |config| config.upstream.timeout = timeout).build().unwrap()).await;
        assert_eq!(get(&edge, "/api").await.status, status);
    }
}

#[tokio::test]
async fn each_attempt_is_told_its_number_and_what_is_left() {
    let (tell, mut heads) = tokio::sync::mpsc::unbounded_channel();
    let service = raw_upstream(move |mut stream, number| {
        let tell = tell.clone();
        async move {
            tell.send(read_head(&mut stream).await).unwrap();
            // The first says nothing until the clock has gone on.
            let begun = std::time::Instant::now();
            while number == 0 && begun.elapsed() < Duration::from_millis(5) {
                tokio::task::yield_now().await;
            }
            if number > 0 {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            }
        }
    });
    let service = service.await;
    let edge = gateway(&[&service], |_| {}).api_key("sap_a_b".to_owned().into()).build().unwrap();
    assert_eq!(get(&serve(edge).await, "/api").await.status, 200);
    let mut told = async || {
        let head = heads.recv().await.unwrap();
        let values = |name: &str| -> Vec<u64> {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.filter(|(own, _)| *own == name).map(|(_, value)| value.parse().unwrap()).collect()
        };
        (values("x-attempt"), values("x-timeout-ms"))
    };
    let (first, second) = (told().await, told().await);
    assert_eq!((first.0, second.0), (vec![], vec![2]));
    let [first, second] = [&first.1[..], &second.1[..]].map(|told| <[u64; 1]>::try_from(told).unwrap()[0]);
    assert!(first <= 30_000 && second <= first - 5, "{first} {second}");
}

#[tokio::test]
async fn without_retries_nothing_is_sent_again() {
    let (service, asked) = closing_at_first().await;
    let edge = serve(gateway(&[&service], |config| config.upstream.retry.max_retries = 0).build().unwrap()).await;
    assert_eq!(get(&edge, "/api").await.status, 502);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_body_that_is_longer_than_what_is_kept_is_sent_once() {
    let (broken, asked) = silent_after_body().await;
    let edge = serve(gateway(&[&broken], |config| config.upstream.retry.max_replay = 8).build().unwrap()).await;
    assert_eq!(send(&edge, "PUT", "/api", &[], "12345678").await.status, 502);
    assert_eq!(asked.swap(0, Ordering::Relaxed), 2, "asked again, with what was kept");
    assert_eq!(send(&edge, "PUT", "/api", &[], "123456789").await.status, 502);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

/// Takes a body of up to nine bytes, and closes.
async fn silent_after_body() -> (Running, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let running = raw_upstream(move |mut stream, _| {
        let count = Arc::clone(&count);
        async move {
            let head = read_head(&mut stream).await;
            let length = if head.contains("content-length: 8") { 8 } else { 9 };
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.unwrap();
            assert!(body.starts_with(b"12345678"));
            count.fetch_add(1, Ordering::Relaxed);
            let _ = stream.shutdown().await;
        }
    });
    (running.await, asked)
}

#[tokio::test]
async fn retries_end_with_their_budget() {
    let (broken, asked) = answering(StatusCode::SERVICE_UNAVAILABLE).await;
    let (other, asked_too) = answering(StatusCode::SERVICE_UNAVAILABLE).await;
    let change = |config: &mut GatewayConfig| {
        (config.upstream.retry.budget_share, config.upstream.retry.budget_per_second) = (0.1, 0);
    };
    let edge = serve(gateway(&[&broken, &other], change).build().unwrap()).await;
    for _ in 0..100 {
        assert_eq!(get(&edge, "/api").await.status, 503);
    }
    let all = asked.load(Ordering::Relaxed) + asked_too.load(Ordering::Relaxed);
    assert!((105..=110).contains(&all), "{all} attempts of 100 requests");
}

#[tokio::test]
async fn an_endpoint_that_keeps_failing_is_left_out() {
    let (broken, asked) = answering(StatusCode::INTERNAL_SERVER_ERROR).await;
    let sound = upstream(Router::new().fallback(async |_: Bytes| "well")).await;
    let endpoints = resolver(&[("test", &[&broken])]);
    let gateway = gateway(&[], |_| {}).resolver(Arc::<StaticResolver>::clone(&endpoints)).build().unwrap();
    let edge = serve(gateway.clone()).await;
    let seen = || gateway.snapshot().upstreams.remove(0).endpoints.endpoints;
    for _ in 0..5 {
        assert_eq!(get(&edge, "/api").await.status, 500);
    }
    assert!(seen()[0].ejected_for_ms.is_some());
    endpoints.set("test", [broken.endpoint(), sound.endpoint()]);
    until(|| seen().len() >= 2).await;
    for _ in 0..50 {
        assert_eq!(get(&edge, "/api").await.status, 200);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 5);
}

#[tokio::test]
async fn an_early_refusal_takes_nothing_from_the_next_attempt() {
    const EARLY: usize = 1_000;
    let body: Arc<[u8]> = (0..=250_u8).cycle().take(300_000).collect();
    let refusals = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&refusals);
    let refusing = raw_upstream(move |mut stream, _| {
        let count = Arc::clone(&count);
        async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            // It reads no further.
            std::future::pending::<()>().await;
        }
    })
    .await;
    let (tell, mut taken) = tokio::sync::mpsc::unbounded_channel();
    let expected = Arc::clone(&body);
    let taking = raw_upstream(move |mut stream, _| {
        let (tell, expected) = (tell.clone(), Arc::clone(&expected));
        async move {
            while read_head(&mut stream).await.ends_with("\r\n\r\n") {
                tell.send(()).unwrap();
                let mut body = vec![0; expected.len()];
                stream.read_exact(&mut body).await.unwrap();
                let status = if body[..] == expected[..] { "200 OK" } else { "422 Unprocessable Content" };
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    let (early, late) = body.split_at(EARLY);
    let mut rounds = 0;
    // Which of them is asked first is the balancer's choice, and that of a gateway without experience: another takes the one that
    // refuses for the better one, since it is never slow.
    while rounds < 10 || refusals.load(Ordering::Relaxed) == 0 {
        let gateway = serve(gateway(&[&refusing, &taking], |_| ()).build().unwrap()).await;
        let mut wire = Wire::open(&gateway).await;
        wire.write(format!("PUT /api HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len())).await;
        wire.write(early).await;
        // The rest comes to an attempt that stands: what was refused before has all that it gets.
        within(taken.recv()).await.unwrap();
        wire.write(late).await;
        assert_eq!(wire.answer().await.status, 200);
        rounds += 1;
        assert!(rounds < 10_000, "nobody was refused");
    }
}

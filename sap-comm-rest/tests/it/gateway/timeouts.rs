use std::time::Duration;

use sap_comm_rest::gateway::{Gateway, GatewayConfig, Route, UpstreamConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::{
    Running, Wire, echo, get, raw_upstream, read_head, resolver, send, serve, to, to_service, upstream,
};

/// A gateway that soon gives up its upstream, which reads on and never answers.
async fn before_silence() -> (Running, Running) {
    let upstream = raw_upstream(|mut stream, _| async move {
        read_head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let route = Route::new("/api").to("test").public().timeout(Duration::from_millis(100));
    (serve(to_service(&upstream).route(route).build().unwrap()).await, upstream)
}

#[tokio::test]
async fn a_silent_upstream_is_given_up() {
    let (gateway, _upstream) = before_silence().await;
    let answer = get(&gateway, "/api").await;
    assert_eq!((answer.status, answer.code().as_str()), (504, "GATEWAY_TIMEOUT"));
}

#[tokio::test]
async fn a_flood_of_announcements_is_no_answer() {
    let upstream = raw_upstream(|mut stream, _| async move {
        read_head(&mut stream).await;
        while stream.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n").await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let gateway = serve(to_service(&upstream).route(Route::new("/api").to("test").public()).build().unwrap()).await;
    assert_eq!(get(&gateway, "/api").await.status, 502);
}

#[tokio::test]
async fn a_service_may_say_often_that_it_still_works() {
    let upstream = raw_upstream(|mut stream, _| async move {
        read_head(&mut stream).await;
        for _ in 0..100 {
            stream.write_all(b"HTTP/1.1 102 Processing\r\n\r\n").await.unwrap();
            tokio::task::yield_now().await;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone").await.unwrap();
    })
    .await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let answer = get(&gateway, "/api").await;
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"done"[..]));
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_passed_over() {
    let gone = upstream(echo()).await;
    let there = upstream(echo()).await;
    let services = resolver(&[("test", &[&gone, &there])]);
    gone.stop().await;
    let route = Route::new("/api").to("test").public();
    let gateway = Gateway::builder().resolver(services).without_rate_limit().route(route).build();
    let gateway = serve(gateway.unwrap()).await;
    for _ in 0..20 {
        assert_eq!(get(&gateway, "/api").await.status, 200);
        let answer = send(&gateway, "POST", "/api", &[], "hello").await;
        assert_eq!((answer.status, answer.json()["body"].as_str()), (200, Some("hello")));
    }
}

#[tokio::test]
async fn an_upstream_that_falls_silent_within_its_answer_is_cut_off() {
    let upstream = raw_upstream(|mut stream, _| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let mut config = UpstreamConfig::default();
    config.idle_timeout = Duration::from_millis(100);
    let gateway = serve(to(&upstream).upstream(config).build().unwrap()).await;
    let mut wire = Wire::open(&gateway).await;
    wire.write("GET /api HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut all = Vec::new();
    let _ = super::support::within(wire.0.read_to_end(&mut all)).await;
    assert!(all.ends_with(b"half"));
}

#[tokio::test]
async fn a_client_that_stops_in_the_middle_of_its_body_is_refused() {
    let upstream = upstream(echo()).await;
    let mut config = GatewayConfig::default();
    config.body_stall = Duration::from_millis(100);
    let route = Route::new("/api").to("test").public();
    let gateway = Gateway::builder().config(config).resolver(resolver(&[("test", &[&upstream])])).route(route);
    let gateway = serve(gateway.build().unwrap()).await;
    let mut wire = Wire::open(&gateway).await;
    wire.write("POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf").await;
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.code().as_str()), (408, "REQUEST_TIMEOUT"));
    assert!(wire.is_closed().await);
}

#[tokio::test]
async fn a_client_that_drips_its_body_is_refused() {
    let upstream = upstream(echo()).await;
    let mut config = GatewayConfig::default();
    config.body_stall = Duration::from_millis(400);
    let route = Route::new("/api").to("test").public();
    let gateway = Gateway::builder().config(config).resolver(resolver(&[("test", &[&upstream])])).route(route);
    let gateway = serve(gateway.build().unwrap()).await;
    let mut wire = Wire::open(&gateway).await;
    wire.write("POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n").await;
    // Never silent for as long as the limit.
    let (mut answer, mut sent) = (Vec::new(), 0);
    while answer.is_empty() && sent < 1_000 {
        let dripped = tokio::time::timeout(Duration::from_millis(50), wire.0.read_buf(&mut answer)).await;
        if dripped.is_err() {
            wire.write("x").await;
            sent += 1;
        }
    }
    assert!(answer.starts_with(b"HTTP/1.1 408 "), "after {sent}: {}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn whoever_keeps_the_other_waiting_is_to_blame() {
    let (gateway, _upstream) = before_silence().await;
    let post = "POST /api HTTP/1.1\r\nHost: a\r\n";
    for (rest, status) in [
        ("Content-Length: 10\r\n\r\n", 408),
        ("Content-Length: 10\r\n\r\nhalf", 408),
        ("Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", 408),
        ("Content-Length: 4\r\n\r\nbody", 504),
        ("Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", 504),
    ] {
        let mut wire = Wire::open(&gateway).await;
        wire.write(format!("{post}{rest}")).await;
        assert_eq!(wire.answer().await.status, status, "{rest:?}");
    }
}

#[tokio::test]
async fn a_connection_is_kept_no_longer_than_the_service_says() {
    for (said, kept) in [
        ("", true),
        ("keep-alive: max=7\r\n", true),
        ("keep-alive: max=7, timeout=60\r\n", true),
        // It may close as the next request is on its way.
        ("keep-alive: timeout=1\r\n", false),
        ("Keep-Alive: TIMEOUT=0, max=7\r\n", false),
    ] {
        let service = raw_upstream(move |mut stream, number| async move {
            while !read_head(&mut stream).await.is_empty() {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n{said}\r\n{number}");
                stream.write_all(head.as_bytes()).await.unwrap();
            }
        })
        .await;
        let gateway = serve(to(&service).build().unwrap()).await;
        assert_eq!(get(&gateway, "/api").await.body, b"0");
        let second = get(&gateway, "/api").await.body;
        assert_eq!(second, if kept { b"0" } else { b"1" }, "{said:?}");
    }
}

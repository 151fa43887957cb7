//! Upstreams that break the protocol.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use sap_comm_rest::gateway::{Gateway, GatewayConfig, Route};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::{Wire, canned, get, raw_upstream, read_head, resolver, send, serve, to, to_service, within};

#[tokio::test]
async fn an_answer_that_could_be_read_in_two_ways_is_not_passed_on() {
    for (name, answer) in [
        ("no HTTP", &b"SSH-2.0-OpenSSH_9\r\n"[..]),
        ("both lengths", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("two lengths that differ", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
        ("two lengths alike", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"),
        ("unknown coding", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        ("length that is none", b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello"),
        ("folded header", b"HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 0\r\n\r\n"),
        ("unasked upgrade", b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
        ("end within the head", b"HTTP/1.1 200 OK\r\nContent-Le"),
        ("nothing at all", b""),
    ] {
        let upstream = canned(answer).await;
        let gateway = serve(to(&upstream).build().unwrap()).await;
        let answer = get(&gateway, "/api").await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "BAD_GATEWAY"), "{name}");
    }
}

#[tokio::test]
async fn bytes_behind_an_answer_are_never_the_next_one() {
    let upstream = raw_upstream(|mut stream, _| async move {
        while read_head(&mut stream).await.ends_with("\r\n\r\n") {
            let poisoned =
                "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngoodHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
            if stream.write_all(poisoned.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    for _ in 0..10 {
        let answer = get(&gateway, "/api").await;
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"good"[..]));
    }
}

#[tokio::test]
async fn announcements_before_the_answer_are_swallowed() {
    let upstream = canned(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let answer = get(&gateway, "/api").await;
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"ok"[..]));
}

#[tokio::test]
async fn a_connection_that_closes_before_the_answer_is_tried_once_more_if_that_does_no_harm() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let upstream = raw_upstream(move |mut stream, number| {
        let count = Arc::clone(&count);
        async move {
            read_head(&mut stream).await;
            count.fetch_add(1, Ordering::SeqCst);
            if number % 2 == 1 {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok").await;
            }
        }
    })
    .await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    assert_eq!(get(&gateway, "/api").await.status, 200);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert_eq!(send(&gateway, "POST", "/api", &[("Content-Length", "0")], "").await.status, 502);
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn an_answer_in_single_bytes_with_words_of_its_own_is_passed_on() {
    let upstream = raw_upstream(|mut stream, _| async move {
        read_head(&mut stream).await;
        stream.set_nodelay(true).unwrap();
        let answer =
            b"HTTP/1.1 404 Gone Fishing\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n5  \r\nhello\r\n0\r\n\r\n";
        for byte in answer {
            stream.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
    })
    .await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let mut wire = Wire::open(&gateway).await;
    wire.write("GET /api HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let mut text = String::new();
    within(wire.0.read_to_string(&mut text)).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 404 Gone Fishing\r\n") && text.contains("x-a: b"), "{text}");
    let letters = text.split("\r\n").filter(|line| line.len() == 1 && line.starts_with(char::is_alphabetic));
    assert!(letters.collect::<String>() == "hello" || text.contains("hello"), "{text}");
}

#[tokio::test]
async fn security_headers_that_a_service_does_not_set_are_set() {
    const OWN: &[u8] =
        b"HTTP/1.1 200 OK\r\nX-Frame-Options: DENY\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n\r\nok";
    let service = canned(OWN).await;
    let route = |path: &str| Route::new(path).to("test").public();
    let gateway = to_service(&service).route(route("/api")).route(route("/site").security_headers(false)).build();
    let gateway = serve(gateway.unwrap()).await;
    let answer = get(&gateway, "/api").await;
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "strict-origin-when-cross-origin"),
        ("cache-control", "max-age=60"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    let mut config = GatewayConfig::default();
    config.security_headers = false;
    let elsewhere = Gateway::builder().config(config).resolver(resolver(&[("test", &[&service])]));
    let elsewhere = serve(elsewhere.route(route("/api")).build().unwrap()).await;
    for answer in [get(&gateway, "/site").await, get(&elsewhere, "/api").await] {
        assert_eq!((answer.status, answer.header("x-content-type-options")), (200, None));
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
    }
}

#[tokio::test]
async fn what_may_be_cached_and_what_a_page_may_do_is_for_the_service_to_say() {
    for (name, status, answer) in [
        ("one with a tag", 200, &b"HTTP/1.1 200 OK\r\nETag: \"v7\"\r\nContent-Length: 2\r\n\r\nok"[..]),
        ("one that is not modified", 304, b"HTTP/1.1 304 Not Modified\r\nETag: \"v7\"\r\n\r\n"),
        ("a page", 200, b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n<p/>"),
    ] {
        let service = canned(answer).await;
        let gateway = serve(to(&service).build().unwrap()).await;
        let answer = get(&gateway, "/api").await;
        assert_eq!((answer.status, answer.header("x-content-type-options")), (status, Some("nosniff")), "{name}");
        for left_out in ["cache-control", "content-security-policy"] {
            assert_eq!(answer.header(left_out), None, "{name}");
        }
        if name != "a page" {
            assert_eq!(answer.header("etag"), Some("\"v7\""), "{name}");
        }
    }
}

use std::time::Duration;

use axum::{Router, body::Body, routing::get};
use futures_util::stream;
use sap_comm_rest::server::{Server, ServerConfig, ServerError};

use crate::support::{Connection, Running, serve_with};

const SHORT: Duration = Duration::from_millis(150);
/// More bytes than the system keeps for a connection.
const LARGE: usize = 32 << 20;

async fn serve(change: impl FnOnce(&mut ServerConfig)) -> Running {
    let endless = || async {
        let chunks = stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'x'; 64 * 1024]));
        Body::from_stream(chunks)
    };
    let router = Router::new()
        .route("/", get(async || "ok"))
        .route("/endless", get(endless))
        .route("/large", get(async || vec![b'x'; LARGE]));
    let mut config = ServerConfig::default();
    change(&mut config);
    serve_with(router, "127.0.0.1:0", config).await
}

#[tokio::test]
async fn a_connection_that_asks_nothing_is_closed() {
    let server = serve(|config| config.header_timeout = SHORT).await;
    for said in ["", "\r\n", "PR", "PRI * HTTP/2.0\r\n"] {
        let mut connection = Connection::open(server.addr).await;
        connection.send(said.as_bytes()).await;
        assert_eq!(connection.closed().await, "", "{said:?}");
    }
}

#[tokio::test]
async fn a_request_that_does_not_arrive_in_time_is_answered() {
    let server = serve(|config| config.header_timeout = SHORT).await;
    for (before, said) in
        [(0, "GET / HT"), (0, "P"), (0, "GET / HTTP/1.1\r\nhost: a\r\n"), (2, "POST"), (1, "\r\nGET / HTTP/1.1\r\n")]
    {
        let mut connection = Connection::open(server.addr).await;
        for _ in 0..before {
            connection.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
            assert_eq!(connection.answer().await.body, "ok");
        }
        connection.send(said.as_bytes()).await;
        let answer = connection.answer().await;
        assert_eq!((answer.status, answer.code().as_str()), (408, "REQUEST_TIMEOUT"), "{said:?}");
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(answer.header("x-request-id").is_some_and(|id| id.starts_with("req_")), "{answer:?}");
        assert!(answer.header("date").is_some_and(|date| date.ends_with(" GMT")), "{answer:?}");
        assert_eq!(connection.closed().await, "", "it is the last word");
    }
}

#[tokio::test]
async fn the_body_of_a_refused_request_is_no_late_request() {
    let server = serve(|config| config.header_timeout = SHORT).await;
    let mut connection = Connection::open(server.addr).await;
    connection.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n").await;
    assert_eq!(connection.answer().await.status, 405);
    connection.send(b"GET / HTTP/1.1\r\n").await;
    assert_eq!(connection.closed().await, "");
}

#[tokio::test]
async fn headers_that_drip_are_cut_off() {
    let server = serve(|config| config.header_timeout = SHORT).await;
    let mut connection = Connection::open(server.addr).await;
    connection.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(connection.answer().await.status, 200);
    let begun = tokio::time::Instant::now();
    // Faster than the limit of one pause, slower than the limit of the whole.
    let mut pace = tokio::time::interval(SHORT / 5);
    while connection.try_send(b"x").await {
        pace.tick().await;
        assert!(begun.elapsed() < Duration::from_secs(10), "the dripping connection is still open");
    }
}

#[tokio::test]
async fn a_head_that_begins_behind_a_request_has_its_own_limit() {
    let server = serve(|config| config.header_timeout = SHORT).await;
    let mut connection = Connection::open(server.addr).await;
    connection.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTT").await;
    assert_eq!(connection.answer().await.status, 200);
    assert_eq!(connection.answer().await.status, 408);
    connection.closed().await;
    // What is whole in time is answered.
    let server = serve(|_| {}).await;
    let mut connection = Connection::open(server.addr).await;
    connection.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTT").await;
    assert_eq!(connection.answer().await.status, 200);
    connection.send(b"P/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(connection.answer().await.status, 200);
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_own_limit() {
    let server = serve(|config| config.keep_alive_idle = SHORT).await;
    let mut connection = Connection::open(server.addr).await;
    connection.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(connection.answer().await.status, 200);
    connection.closed().await;
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_cut_off() {
    let server = serve(|config| {
        config.write_timeout = SHORT;
        config.max_connections = 1;
    })
    .await;
    let mut stuck = Connection::open(server.addr).await;
    stuck.send(b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").await;
    // The one permit is free again once the stuck connection has gone.
    let mut next = Connection::open(server.addr).await;
    next.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(next.answer().await.status, 200);
    // What there is for it is not kept, and does not end as a whole answer would.
    assert!(stuck.is_reset().await);
}

#[tokio::test]
async fn a_large_answer_that_is_taken_slowly_arrives_whole() {
    let server = serve(|config| {
        (config.header_timeout, config.keep_alive_idle, config.linger) = (SHORT * 4, SHORT, SHORT);
    })
    .await;
    for behind in ["", "GET / HT"] {
        let mut connection = Connection::open(server.addr).await;
        connection.send(format!("GET /large HTTP/1.1\r\nhost: a\r\n\r\n{behind}").as_bytes()).await;
        connection.readable().await;
        // Longer than a connection on which nothing is in flight may rest and linger, or a head take.
        tokio::time::sleep(SHORT * 6).await;
        assert_eq!(connection.answer().await.body.len(), LARGE);
        if !behind.is_empty() {
            assert_eq!(connection.answer().await.status, 408);
        }
        assert_eq!(connection.closed().await, "");
    }
}

#[tokio::test]
async fn one_that_has_stopped_sending_may_take_its_answer_slowly() {
    let server = serve(|config| config.linger = SHORT).await;
    let mut connection = Connection::open(server.addr).await;
    connection.send(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await;
    connection.finish().await;
    connection.readable().await;
    tokio::time::sleep(SHORT * 4).await;
    assert_eq!(connection.answer().await.body.len(), LARGE);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_reader_that_takes_little_at_a_time_is_not_cut_off() {
    let server = serve(|config| config.write_timeout = SHORT * 8).await;
    let mut connection = Connection::open(server.addr).await;
    connection.send(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await;
    // Some of the megabytes that a system would keep for it.
    for _ in 0..120 {
        assert!(connection.more().await);
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(connection.answer().await.body.len(), LARGE);
}

#[tokio::test]
async fn one_that_takes_an_answer_does_not_make_room() {
    let server = serve(|config| (config.max_connections, config.linger) = (1, SHORT)).await;
    let mut slow = Connection::open(server.addr).await;
    slow.send(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await;
    slow.readable().await;
    let mut next = Connection::open(server.addr).await;
    next.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    // It is no longer too young, and would linger no longer.
    tokio::time::sleep(Duration::from_millis(1_600)).await;
    assert_eq!(slow.answer().await.body.len(), LARGE);
    // From here on it rests.
    assert_eq!(next.answer().await.status, 200);
}

#[tokio::test]
async fn connections_over_the_limit_wait_their_turn() {
    let server = serve(|config| config.max_connections = 1).await;
    let mut first = Connection::open(server.addr).await;
    first.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(first.answer().await.status, 200);
    let mut second = Connection::open(server.addr).await;
    second.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    drop(first);
    assert_eq!(second.answer().await.status, 200);
}

#[tokio::test]
async fn connections_that_rest_make_room_the_longest_first() {
    let server = serve(|config| {
        config.max_connections = 3;
        config.keep_alive_idle = Duration::from_secs(600);
        config.header_timeout = Duration::from_secs(600);
    })
    .await;
    let mut resting = Vec::new();
    for _ in 0..3 {
        let mut connection = Connection::open(server.addr).await;
        connection.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(connection.answer().await.status, 200);
        resting.push(connection);
    }
    let mut next = Connection::open(server.addr).await;
    next.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(next.answer().await.status, 200);
    resting.remove(0).closed().await;
    let last = resting.last_mut().unwrap();
    last.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(last.answer().await.status, 200);
    // One that never asked rests as well.
    next.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(next.answer().await.status, 200);
    drop(resting);
    let silent = [Connection::open(server.addr).await, Connection::open(server.addr).await];
    let mut asking = Vec::new();
    for _ in 0..3 {
        let mut connection = Connection::open(server.addr).await;
        connection.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(connection.answer().await.status, 200);
        asking.push(connection);
    }
    for mut connection in silent {
        connection.closed().await;
    }
}

/// Leaves the server with a body that it does not read.
async fn answered_early(server: &Running) -> Connection {
    let mut connection = Connection::open(server.addr).await;
    connection.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000000\r\n\r\nfirst").await;
    assert_eq!(connection.answer().await.status, 405);
    connection
}

#[tokio::test]
async fn a_peer_that_does_not_close_is_read_on_for_a_time() {
    let server = serve(|config| {
        config.linger = SHORT;
        config.max_connections = 1;
    })
    .await;
    let _open = answered_early(&server).await;
    // The one permit is free again once the server has given the first up.
    let mut next = Connection::open(server.addr).await;
    next.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(next.answer().await.status, 200);
}

#[tokio::test]
async fn a_peer_that_does_not_stop_is_read_on_for_so_many_bytes() {
    let server = serve(|config| {
        config.linger = Duration::from_secs(600);
        config.max_linger_bytes = 1024 * 1024;
    })
    .await;
    let mut connection = answered_early(&server).await;
    let mut sent = 0;
    while sent < 1_000_000_000 && connection.try_send(&[b'x'; 64 * 1024]).await {
        sent += 64 * 1024;
    }
    assert!((1024 * 1024..1_000_000_000).contains(&sent), "{sent}");
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let server = serve(|_| {}).await;
    let error = Server::bind(server.addr, ServerConfig::default()).await.unwrap_err();
    assert!(matches!(error, ServerError::AddressInUse { .. }));
    assert_eq!(error.to_string(), format!("cannot listen on {}: the address is in use", server.addr));
}

#[tokio::test]
async fn an_option_that_cannot_be_used_is_named() {
    let mut config = ServerConfig::default();
    config.max_streams = 0;
    let error = Server::bind("127.0.0.1:0", config).await.unwrap_err();
    assert_eq!(error.to_string(), "server configuration: `max_streams` = 0: must lie within 1..=10000");
}

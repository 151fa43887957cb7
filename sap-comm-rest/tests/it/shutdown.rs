use std::{io::Write, net::TcpStream, sync::Arc, time::Duration};

use axum::{Router, routing::get};
use sap_comm_rest::server::{ServerConfig, ServerError};
use tokio::sync::Semaphore;

use crate::support::{
    Connection, Running,
    frames::{END_HEADERS, END_STREAM, GET, INITIAL_WINDOW_SIZE, kind, open},
    serve_with,
};

const AT_ONCE: &[u8] = b"GET /at-once HTTP/1.1\r\nhost: a\r\n\r\n";
const GET_HTTP1: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

struct Gate {
    arrived: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

fn draining_within(millis: u64) -> ServerConfig {
    let mut config = ServerConfig::default();
    config.drain_timeout = Duration::from_millis(millis);
    config
}

async fn gated(config: ServerConfig) -> (Running, Gate) {
    gated_with(b"done".to_vec(), config).await
}

async fn gated_with(answer: Vec<u8>, config: ServerConfig) -> (Running, Gate) {
    let (arrived, open) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let gate = Gate { arrived: Arc::clone(&arrived), open: Arc::clone(&open) };
    let handler = move || {
        let (arrived, open, answer) = (Arc::clone(&arrived), Arc::clone(&open), answer.clone());
        async move {
            arrived.add_permits(1);
            open.acquire().await.map(|_| answer).unwrap_or_default()
        }
    };
    let router = Router::new().route("/", get(handler)).route("/at-once", get(async || "at once"));
    (serve_with(router, "127.0.0.1:0", config).await, gate)
}

#[tokio::test]
async fn an_open_request_ends_before_the_server_does() {
    let (server, gate) = gated(ServerConfig::default()).await;
    let mut idle = Connection::open(server.addr).await;
    let mut busy = Connection::open(server.addr).await;
    busy.send(GET_HTTP1).await;
    gate.arrived.acquire().await.unwrap().forget();
    server.shutdown.cancel();
    idle.closed().await;
    gate.open.add_permits(1);
    let answer = busy.answer().await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "done"));
    assert_eq!(answer.header("connection"), Some("close"));
    server.ended().await.unwrap();
}

#[tokio::test]
async fn one_that_has_stopped_sending_is_answered_in_the_drain() {
    let (server, gate) = gated(ServerConfig::default()).await;
    let mut client = Connection::open(server.addr).await;
    client.send(GET_HTTP1).await;
    gate.arrived.acquire().await.unwrap().forget();
    client.finish().await;
    server.shutdown.cancel();
    tokio::time::sleep(Duration::from_millis(50)).await;
    gate.open.add_permits(1);
    assert_eq!(client.answer().await.body, "done");
    server.ended().await.unwrap();
}

#[tokio::test]
async fn a_peer_that_was_answered_and_does_not_go_is_not_cut() {
    let (server, gate) = gated(draining_within(100)).await;
    gate.open.add_permits(1);
    let mut peer = Connection::open(server.addr).await;
    peer.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\nfirst").await;
    assert_eq!(peer.answer().await.status, 405);
    server.shutdown.cancel();
    server.ended().await.unwrap();
}

#[tokio::test]
async fn a_request_that_does_not_arrive_is_not_waited_for_to_the_end() {
    let (server, gate) = gated(draining_within(2_000)).await;
    gate.open.add_permits(1);
    let mut new = Connection::open(server.addr).await;
    // It could be the beginning of HTTP/2's preface, too.
    new.send(b"P").await;
    let mut known = Connection::open(server.addr).await;
    known.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET /").await;
    assert_eq!(known.answer().await.body, "done");
    server.shutdown.cancel();
    for peer in [&mut new, &mut known] {
        assert_eq!(peer.answer().await.status, 408);
        peer.closed().await;
    }
    server.ended().await.unwrap();
}

#[tokio::test]
async fn a_request_that_arrives_meanwhile_is_answered() {
    let (server, gate) = gated(ServerConfig::default()).await;
    gate.open.add_permits(2);
    let mut new = Connection::open(server.addr).await;
    new.send(b"GET /").await;
    let mut known = Connection::open(server.addr).await;
    known.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET /").await;
    assert_eq!(known.answer().await.header("connection"), None);
    server.shutdown.cancel();
    for peer in [&mut new, &mut known] {
        tokio::time::sleep(Duration::from_millis(50)).await;
        peer.send(b" HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let answer = peer.answer().await;
        assert_eq!((answer.body.as_str(), answer.header("connection")), ("done", Some("close")));
        assert_eq!(peer.closed().await, "");
    }
    server.ended().await.unwrap();
}

#[tokio::test]
async fn an_answer_that_is_taken_meanwhile_arrives_whole() {
    // More bytes than the system keeps for a connection.
    const LARGE: usize = 32 << 20;
    let (server, gate) = gated_with(vec![b'x'; LARGE], draining_within(6_000)).await;
    let mut connection = Connection::open(server.addr).await;
    connection.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HT").await;
    gate.arrived.acquire().await.unwrap().forget();
    server.shutdown.cancel();
    // Heads that still arrive are not waited for any more.
    tokio::time::sleep(Duration::from_millis(3_200)).await;
    gate.open.add_permits(1);
    assert_eq!(connection.answer().await.body.len(), LARGE);
    drop(connection);
    server.ended().await.unwrap();
}

#[tokio::test]
async fn the_last_part_of_an_answer_on_http2_has_time_to_be_taken() {
    const WINDOW: u32 = 16 * 1_024 + 1;
    let (server, gate) = gated_with(vec![b'x'; WINDOW as usize + 99], draining_within(4_000)).await;
    let (mut sender, mut receiver) = open(server.addr, &[(INITIAL_WINDOW_SIZE, WINDOW)]).await;
    assert!(sender.frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, GET).await);
    gate.arrived.acquire().await.unwrap().forget();
    server.shutdown.cancel();
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    gate.open.add_permits(1);
    let mut taken = 0;
    for (until, then) in [(WINDOW, true), (WINDOW + 99, false)] {
        while taken < until as usize {
            let frame = receiver.next().await.expect("it goes on");
            taken += if frame.kind == kind::DATA { frame.payload.len() } else { 0 };
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!then || sender.frame(kind::WINDOW_UPDATE, 0, 1, &WINDOW.to_be_bytes()).await);
    }
    drop((sender, receiver));
    server.ended().await.unwrap();
}

#[tokio::test]
async fn a_peer_of_http2_that_says_nothing_is_not_cut() {
    let (server, gate) = gated(draining_within(400)).await;
    gate.open.add_permits(1);
    let (mut sender, mut receiver) = open(server.addr, &[]).await;
    assert!(sender.frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, GET).await);
    while receiver.next().await.expect("it answers").kind != kind::DATA {}
    // It answers no ping.
    server.shutdown.cancel();
    server.ended().await.unwrap();
}

#[tokio::test]
async fn those_that_nobody_has_accepted_yet_are_answered() {
    for (workers, max_connections) in [(0, 10_000), (2, 10_000), (0, 1)] {
        // Half of it is longer than anything is waited for.
        let mut config = draining_within(60_000);
        (config.workers, config.max_connections) = (workers, max_connections);
        let (server, gate) = gated(config).await;
        let mut first = Connection::open(server.addr).await;
        if max_connections > 1 {
            first.send(GET_HTTP1).await;
            gate.arrived.acquire().await.unwrap().forget();
        } else {
            // It rests, and another one waits for its place.
            first.send(AT_ONCE).await;
            assert_eq!(first.answer().await.body, "at once");
        }
        // One says nothing, where that takes no place from the others.
        let silent = if max_connections > 1 { 0 } else { usize::MAX };
        // Without workers the server has no turn meanwhile.
        let asked: Vec<_> = (0..if max_connections > 1 { 40 } else { 3 })
            .map(|number| {
                let mut stream = TcpStream::connect(server.addr).unwrap();
                if number != silent {
                    stream.write_all(AT_ONCE).unwrap();
                }
                stream.set_nonblocking(true).unwrap();
                tokio::net::TcpStream::from_std(stream).unwrap()
            })
            .collect();
        server.shutdown.cancel();
        for (number, stream) in asked.into_iter().enumerate() {
            let mut peer = Connection::from(stream);
            if number != silent {
                let answer = peer.answer().await;
                assert_eq!(answer.body, "at once", "{number} with {workers} workers");
                assert!(workers > 0 || answer.header("connection") == Some("close"), "{answer:?}");
            }
            assert_eq!(peer.closed().await, "");
        }
        gate.open.add_permits(1);
        if max_connections > 1 {
            assert_eq!(first.answer().await.body, "done");
        }
        assert_eq!(first.closed().await, "");
        server.ended().await.unwrap();
    }
}

#[tokio::test]
async fn one_that_has_just_come_may_ask_while_the_server_stops() {
    let (server, gate) = gated(ServerConfig::default()).await;
    gate.open.add_permits(2);
    let mut new = Connection::open(server.addr).await;
    let mut known = Connection::open(server.addr).await;
    known.send(GET_HTTP1).await;
    assert_eq!(known.answer().await.body, "done");
    server.shutdown.cancel();
    tokio::time::sleep(Duration::from_millis(20)).await;
    new.send(GET_HTTP1).await;
    assert_eq!(new.answer().await.header("connection"), Some("close"));
    server.ended().await.unwrap();
}

#[tokio::test]
async fn a_request_that_does_not_end_is_cut() {
    let (server, gate) = gated(draining_within(100)).await;
    let mut busy = Connection::open(server.addr).await;
    busy.send(GET_HTTP1).await;
    gate.arrived.acquire().await.unwrap().forget();
    server.shutdown.cancel();
    busy.closed().await;
    let ended = server.ended().await;
    assert!(matches!(ended, Err(ServerError::Cut { connections: 1, .. })), "{ended:?}");
}

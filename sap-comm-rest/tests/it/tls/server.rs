use std::{sync::Arc, time::Duration};

use axum::{Extension, Router, routing::get};
use http::Request;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sap_comm_rest::{
    server::{Server, ServerConfig},
    tls::{ClientTlsConfig, ServerTls, TlsConnection},
};
use sap_comm_testkit::tls::TestCa;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::support::{client, get as fetch, handshake, https, serve_tls, server_options};
use crate::support::{Connection, Files, PATIENCE, ask, serve_server};

fn router() -> Router {
    let name = async |Extension(tls): Extension<TlsConnection>| tls.server_name.unwrap_or_default().to_string();
    Router::new().route("/", get(async || "over TLS")).route("/name", get(name))
}

#[tokio::test]
async fn both_versions_of_http_are_agreed_on_in_the_handshake() {
    let (files, ca) = (Files::new(), TestCa::new().unwrap());
    let (server, _tls) = serve_tls(router(), server_options(&files, &ca)).await;

    let stream = handshake(server.addr, &ca, &["h2", "http/1.1"], None).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("https://localhost/").body(Empty::<Bytes>::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    connection.abort();

    let mut stream = handshake(server.addr, &ca, &["http/1.1"], None).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    stream.write_all(b"GET /name HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    // To the end of TLS itself: the server says goodbye.
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("localhost"), "{answer}");
    assert!(answer.contains("strict-transport-security: max-age="), "{answer}");
    assert!(handshake(server.addr, &ca, &["smtp"], None).await.is_err(), "nothing in common");
}

#[tokio::test]
async fn a_client_may_say_goodbye_before_it_is_answered() {
    let (files, ca) = (Files::new(), TestCa::new().unwrap());
    let late = async || {
        tokio::time::sleep(Duration::from_millis(50)).await;
        "late"
    };
    let (server, _tls) = serve_tls(Router::new().route("/", get(late)), server_options(&files, &ca)).await;
    for closes in [true, false] {
        let mut stream = handshake(server.addr, &ca, &["http/1.1"], None).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        if closes {
            stream.shutdown().await.unwrap();
        } else {
            stream.get_mut().1.send_close_notify();
            stream.flush().await.unwrap();
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("late"), "{answer}");
    }
}

#[tokio::test]
async fn a_peer_that_forgets_tls_is_told_so() {
    let (files, ca) = (Files::new(), TestCa::new().unwrap());
    let (server, _tls) = serve_tls(router(), server_options(&files, &ca)).await;
    for request in ["GET / HTTP/1.1\r\nhost: a\r\n\r\n", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nab"] {
        let answer = ask(server.addr, request).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "BAD_REQUEST"));
        assert_eq!(answer.error()["message"], "This port speaks TLS: use https");
        assert_eq!(answer.header("connection"), Some("close"));
    }
    let mut nonsense = Connection::open(server.addr).await;
    nonsense.send(b"\x16\x03\x01\xff\xffnonsense").await;
    nonsense.send(&[0; 70_000]).await;
    nonsense.closed().await;
}

#[tokio::test]
async fn a_handshake_that_stalls_is_ended() {
    let (files, ca) = (Files::new(), TestCa::new().unwrap());
    let mut options = server_options(&files, &ca);
    options.handshake_timeout = Duration::from_millis(50);
    let (server, _tls) = serve_tls(router(), options).await;
    let mut silent = Connection::open(server.addr).await;
    silent.closed().await;
    let mut halfway = Connection::open(server.addr).await;
    halfway.send(b"\x16\x03\x01\x02\x00\x01").await;
    halfway.closed().await;
}

#[tokio::test]
async fn one_handshake_too_many_ends_the_oldest_and_honest_ones_are_served() {
    let (files, ca) = (Files::new(), TestCa::new().unwrap());
    let mut options = server_options(&files, &ca);
    options.max_handshakes = 2;
    let (server, _tls) = serve_tls(router(), options).await;
    let mut oldest = Connection::open(server.addr).await;
    let mut silent = Vec::new();
    for _ in 0..10 {
        silent.push(Connection::open(server.addr).await);
    }
    oldest.closed().await;
    let options = ClientTlsConfig::default().ca(files.write("ca.pem", ca.pem()));
    assert_eq!(fetch(&client(https(&server), options), "/").await.unwrap(), "over TLS");
}

#[tokio::test]
async fn silent_handshakes_make_room_for_honest_ones() {
    let (files, ca) = (Files::new(), TestCa::new().unwrap());
    let mut options = server_options(&files, &ca);
    options.handshake_timeout = Duration::from_secs(600);
    let mut config = ServerConfig::default();
    config.max_connections = 2;
    let tls = ServerTls::load(options).unwrap();
    let server = Server::bind("127.0.0.1:0", config).await.unwrap().with_tls(tls);
    let server = serve_server(server, router());
    let mut silent = [Connection::open(server.addr).await, Connection::open(server.addr).await];
    let options = ClientTlsConfig::default().ca(files.write("ca.pem", ca.pem()));
    assert_eq!(fetch(&client(https(&server), options), "/").await.unwrap(), "over TLS");
    silent[0].closed().await;
}

#[tokio::test]
async fn a_large_answer_and_a_large_body_pass() {
    let (files, ca) = (Files::new(), TestCa::new().unwrap());
    let large = "x".repeat(900_000);
    let answer = large.clone();
    let router = Router::new()
        .route("/large", get(move || async move { answer }))
        .route("/length", axum::routing::post(async |body: Bytes| body.len().to_string()));
    let (server, _tls) = serve_tls(router, server_options(&files, &ca)).await;
    let options = ClientTlsConfig::default().ca(files.write("ca.pem", ca.pem()));
    let client = client(https(&server), options);
    assert_eq!(fetch(&client, "/large").await.unwrap(), large);
    let length: usize = client.post("/length", []).json(&large).fetch().await.unwrap();
    assert_eq!(length, large.len() + 2);
}

#[tokio::test]
async fn who_is_shaking_hands_may_ask_while_the_server_stops() {
    let (files, ca) = (Files::new(), Arc::new(TestCa::new().unwrap()));
    for turns in 0..6 {
        let (server, _tls) = serve_tls(router(), server_options(&files, &ca)).await;
        let (addr, ca) = (server.addr, Arc::clone(&ca));
        let asked = tokio::spawn(async move {
            let mut stream = handshake(addr, &ca, &["http/1.1"], None).await?;
            stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.map(|_| answer)
        });
        // Its connection is made at once, and waits to be accepted; or it is a step or two further.
        for _ in 0..=turns {
            tokio::task::yield_now().await;
        }
        server.shutdown.cancel();
        let answer = asked.await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("over TLS"), "{turns}: {answer}");
        server.ended().await.unwrap();
    }
}

#[tokio::test]
async fn a_stop_does_not_wait_for_silent_handshakes() {
    let (files, ca) = (Files::new(), TestCa::new().unwrap());
    let mut config = ServerConfig::default();
    config.drain_timeout = PATIENCE * 4;
    let tls = ServerTls::load(server_options(&files, &ca)).unwrap();
    let server = serve_server(Server::bind("127.0.0.1:0", config).await.unwrap().with_tls(tls), router());
    let mut silent = Connection::open(server.addr).await;
    // Accepted for certain, since what came after it was served.
    let options = ClientTlsConfig::default().ca(files.write("ca.pem", ca.pem()));
    fetch(&client(https(&server), options), "/").await.unwrap();
    server.shutdown.cancel();
    timeout(PATIENCE, server.ended()).await.expect("it waits").unwrap();
    silent.closed().await;
}

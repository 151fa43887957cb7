use sap_comm_rest::{
    gateway::{Gateway, GatewayConfig, Route},
    server::{Server, ServerConfig},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use super::support::{Running, Wire, canned, raw_upstream, read_head, resolver, serve, to, within};

const HANDSHAKE: &str = "GET /api HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// Switches protocols and sends back what it gets.
async fn echoing() -> Running {
    raw_upstream(|mut stream, _| async move {
        let head = read_head(&mut stream).await.to_ascii_lowercase();
        assert!(head.contains("\r\nconnection: upgrade\r\n") && head.contains("\r\nupgrade: websocket\r\n"), "{head}");
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await
}

async fn open(gateway: &Running) -> Wire {
    let mut wire = Wire::open(gateway).await;
    wire.write(HANDSHAKE).await;
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.header("sec-websocket-accept")), (101, Some("x")));
    assert_eq!((answer.header("connection"), answer.header("upgrade")), (Some("upgrade"), Some("websocket")));
    wire
}

async fn exchange(wire: &mut Wire, bytes: &[u8]) {
    wire.write(bytes).await;
    let mut back = vec![0; bytes.len()];
    within(wire.0.read_exact(&mut back)).await.unwrap();
    assert_eq!(back, bytes);
}

#[tokio::test]
async fn a_websocket_passes_through_in_both_directions() {
    let upstream = echoing().await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let mut wire = open(&gateway).await;
    for bytes in [&b"\x81\x05hello"[..], b"GET / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n", &[0; 100_000]] {
        exchange(&mut wire, bytes).await;
    }
    wire.0.shutdown().await.unwrap();
    assert!(wire.is_closed().await);
}

#[tokio::test]
async fn a_refused_handshake_is_an_ordinary_answer() {
    let upstream = canned(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let mut wire = Wire::open(&gateway).await;
    wire.write(HANDSHAKE).await;
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.body.as_slice()), (403, &b"no"[..]));
}

#[tokio::test]
async fn websockets_end_with_their_gateway() {
    let upstream = echoing().await;
    let gateway = to(&upstream).build().unwrap();
    let edge = serve(gateway.clone()).await;
    let mut wire = open(&edge).await;
    exchange(&mut wire, b"ping").await;
    within(gateway.close_tunnels()).await;
    assert!(wire.is_closed().await);
}

#[tokio::test]
async fn there_are_only_so_many_websockets() {
    let upstream = echoing().await;
    let mut config = GatewayConfig::default();
    config.max_tunnels = Some(1);
    let gateway = Gateway::builder()
        .config(config)
        .resolver(resolver(&[("test", &[&upstream])]))
        .route(Route::new("/api").to("test").public())
        .build();
    let gateway = serve(gateway.unwrap()).await;
    let mut first = open(&gateway).await;
    let mut second = Wire::open(&gateway).await;
    second.write(HANDSHAKE).await;
    let answer = second.answer().await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "OVERLOADED"));
    exchange(&mut first, b"still here").await;
}

#[tokio::test]
async fn half_of_the_connections_may_be_websockets_unless_a_number_is_said() {
    let upstream = echoing().await;
    let gateway = to(&upstream).build().unwrap();
    let mut config = ServerConfig::default();
    config.max_connections = 4;
    let server = Server::bind("127.0.0.1:0", config).await.unwrap();
    let edge = Running::spawn(server.local_addr(), {
        let gateway = gateway.clone();
        async move { gateway.serve(server, CancellationToken::new()).await.unwrap() }
    });
    let (mut first, _second) = (open(&edge).await, open(&edge).await);
    let mut third = Wire::open(&edge).await;
    third.write(HANDSHAKE).await;
    assert_eq!(third.answer().await.code(), "OVERLOADED");
    within(gateway.close_tunnels()).await;
    assert!(first.is_closed().await);
    third.write(HANDSHAKE).await;
    assert_eq!(third.answer().await.code(), "OVERLOADED", "no further one begins");
}

#[tokio::test(start_paused = true)]
async fn a_silent_websocket_ends() {
    let upstream = echoing().await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let mut wire = Wire::open(&gateway).await;
    wire.0.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    read_head(&mut wire.0).await;
    // The clock jumps to the idle timeout as soon as nothing else is left to do.
    let mut rest = Vec::new();
    wire.0.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty());
}

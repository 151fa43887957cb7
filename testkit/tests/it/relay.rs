use std::{io::ErrorKind, num::NonZeroU64, time::Duration};

use sap_comm_testkit::{Direction, Relay};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};

use crate::eventually;

const SOON: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_millis(200);

/// A relay, and both ends of one connection through it.
struct Pair {
    relay: Relay,
    listener: TcpListener,
    client: TcpStream,
    server: TcpStream,
}

impl Pair {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Relay::start(listener.local_addr().unwrap().to_string()).await.unwrap();
        let client = TcpStream::connect(relay.addr()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        Self { relay, listener, client, server }
    }
}

async fn read(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; 64];
    let length = timeout(SOON, stream.read(&mut bytes)).await.expect("something arrives")?;
    bytes.truncate(length);
    Ok(bytes)
}

async fn is_silent(stream: &mut TcpStream) -> bool {
    timeout(SILENCE, stream.read_u8()).await.is_err()
}

#[tokio::test]
async fn bytes_go_both_ways_and_ends_are_passed_on() {
    let mut pair = Pair::new().await;
    pair.client.write_all(b"ping").await.unwrap();
    assert_eq!(read(&mut pair.server).await.unwrap(), b"ping");
    pair.client.shutdown().await.unwrap();
    assert_eq!(read(&mut pair.server).await.unwrap(), b"");
    pair.server.write_all(b"pong").await.unwrap();
    assert_eq!(read(&mut pair.client).await.unwrap(), b"pong");
    pair.server.shutdown().await.unwrap();
    assert_eq!(read(&mut pair.client).await.unwrap(), b"");
    eventually("the connection is counted out", || pair.relay.open_connections() == 0).await;
    assert_eq!(pair.relay.accepted(), 1);
}

#[tokio::test]
async fn a_cut_resets_connections_and_refuses_new_ones_until_it_heals() {
    let mut pair = Pair::new().await;
    pair.relay.cut().await.unwrap();
    assert_eq!(read(&mut pair.client).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(read(&mut pair.server).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(pair.relay.open_connections(), 0);
    let refused = TcpStream::connect(pair.relay.addr()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);

    pair.relay.pass().await.unwrap();
    let mut client = TcpStream::connect(pair.relay.addr()).await.unwrap();
    let (mut server, _) = pair.listener.accept().await.unwrap();
    client.write_all(b"again").await.unwrap();
    assert_eq!(read(&mut server).await.unwrap(), b"again");
}

#[tokio::test]
async fn a_reset_goes_on_accepting() {
    let mut pair = Pair::new().await;
    pair.relay.reset().await.unwrap();
    assert_eq!(read(&mut pair.client).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    TcpStream::connect(pair.relay.addr()).await.unwrap();
}

#[tokio::test]
async fn a_frozen_relay_accepts_and_forwards_nothing_until_it_thaws() {
    let mut pair = Pair::new().await;
    pair.relay.freeze(Direction::Both);
    pair.client.write_all(b"one").await.unwrap();
    pair.server.write_all(b"two").await.unwrap();
    let mut newcomer = TcpStream::connect(pair.relay.addr()).await.unwrap();
    newcomer.write_all(b"three").await.unwrap();
    assert!(is_silent(&mut pair.server).await);
    assert!(is_silent(&mut pair.client).await);
    assert!(is_silent(&mut newcomer).await);

    pair.relay.pass().await.unwrap();
    assert_eq!(read(&mut pair.server).await.unwrap(), b"one");
    assert_eq!(read(&mut pair.client).await.unwrap(), b"two");
}

#[tokio::test]
async fn one_direction_freezes_alone() {
    let mut pair = Pair::new().await;
    pair.relay.freeze(Direction::ToClient);
    pair.client.write_all(b"request").await.unwrap();
    assert_eq!(read(&mut pair.server).await.unwrap(), b"request");
    pair.server.write_all(b"answer").await.unwrap();
    assert!(is_silent(&mut pair.client).await);
}

#[tokio::test]
async fn a_half_closed_direction_ends_while_the_other_lives() {
    let mut pair = Pair::new().await;
    pair.relay.half_close(Direction::ToClient);
    assert_eq!(read(&mut pair.client).await.unwrap(), b"");
    pair.server.write_all(b"lost").await.unwrap();
    pair.client.write_all(b"still here").await.unwrap();
    assert_eq!(read(&mut pair.server).await.unwrap(), b"still here");

    let mut newcomer = TcpStream::connect(pair.relay.addr()).await.unwrap();
    let (mut server, _) = pair.listener.accept().await.unwrap();
    server.write_all(b"whole").await.unwrap();
    assert_eq!(read(&mut newcomer).await.unwrap(), b"whole");
}

#[tokio::test]
async fn a_delay_holds_every_byte_back_in_order() {
    let mut pair = Pair::new().await;
    let delay = Duration::from_millis(150);
    pair.relay.delay(delay);
    let started = Instant::now();
    pair.client.write_all(b"slow").await.unwrap();
    assert_eq!(read(&mut pair.server).await.unwrap(), b"slow");
    assert!(started.elapsed() >= delay, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_bandwidth_slows_a_stream_down() {
    let mut pair = Pair::new().await;
    pair.relay.bandwidth(NonZeroU64::new(100_000));
    let started = Instant::now();
    pair.client.write_all(&[7; 40_000]).await.unwrap();
    let mut bytes = vec![0; 40_000];
    pair.server.read_exact(&mut bytes).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(200), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_target_that_refuses_resets_the_client() {
    let port = sap_comm_testkit::free_port().unwrap();
    let relay = Relay::start(format!("127.0.0.1:{port}")).await.unwrap();
    let mut client = TcpStream::connect(relay.addr()).await.unwrap();
    assert_eq!(read(&mut client).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_reset_by_one_side_reaches_the_other() {
    let mut pair = Pair::new().await;
    pair.server.set_zero_linger().unwrap();
    drop(pair.server);
    assert_eq!(read(&mut pair.client).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn uris_lead_through_the_relay() {
    let relay = Relay::start("127.0.0.1:5672").await.unwrap();
    let port = relay.port();
    assert_eq!(
        relay.through("amqp://guest:guest@127.0.0.1:5672/%2f"),
        format!("amqp://guest:guest@127.0.0.1:{port}/%2f")
    );
    assert_eq!(relay.through("amqps://localhost:5672"), format!("amqps://localhost:{port}"));
}

#[tokio::test]
async fn nobody_takes_the_port_of_a_cut_relay() {
    let relay = Relay::start("127.0.0.1:1").await.unwrap();
    relay.cut().await.unwrap();
    assert_eq!(TcpListener::bind(relay.addr()).await.unwrap_err().kind(), ErrorKind::AddrInUse);
    assert_eq!(TcpStream::connect(relay.addr()).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    relay.pass().await.unwrap();
    TcpStream::connect(relay.addr()).await.unwrap();
}

#[tokio::test]
async fn a_cut_reaches_a_connection_that_was_accepted_a_moment_before() {
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let relay = Relay::start(target.local_addr().unwrap().to_string()).await.unwrap();
    for _ in 0..100 {
        drop(TcpStream::connect(relay.addr()).await.unwrap());
        relay.cut().await.unwrap();
        relay.pass().await.unwrap();
    }
    assert_eq!(relay.open_connections(), 0);
}

//! What an HTTP/2 peer may not do to a server, frame by frame.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, routing::get};
use futures_util::stream;
use sap_comm_rest::server::{KitConfig, ServerConfig, kit};

use tokio::time::timeout;

use crate::support::{
    PATIENCE, Running,
    frames::{END_HEADERS, END_STREAM, GET, INITIAL_WINDOW_SIZE, frame, kind, open},
    serve_with,
};

const SHORT: Duration = Duration::from_millis(200);
const ENHANCE_YOUR_CALM: u32 = 11;

async fn serve(router: Router, change: impl FnOnce(&mut ServerConfig)) -> Running {
    let mut config = ServerConfig::default();
    change(&mut config);
    serve_with(kit(router, KitConfig::default()), "127.0.0.1:0", config).await
}

/// Handlers at work, now and at most.
#[derive(Clone, Default)]
struct Busy(Arc<AtomicUsize>);

struct AtWork(Arc<AtomicUsize>);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Busy {
    /// A route that never answers.
    fn router(&self) -> Router {
        let busy = self.clone();
        let wait = move || async move {
            busy.0.fetch_add(1, Ordering::SeqCst);
            let _at_work = AtWork(Arc::clone(&busy.0));
            std::future::pending::<()>().await;
        };
        Router::new().route("/", get(wait))
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn requests_that_are_reset_at_once_end_the_connection() {
    let busy = Busy::default();
    let server = serve(busy.router(), |_| {}).await;
    let (mut sender, mut receiver) = open(server.addr, &[]).await;
    let mut flood = Vec::new();
    for stream in (1..20_001).step_by(2) {
        flood.extend(frame(kind::HEADERS, END_HEADERS | END_STREAM, stream, GET));
        flood.extend(frame(kind::RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    let flood = tokio::spawn(async move { sender.say(&flood).await });
    assert_eq!(receiver.farewell().await, Some(ENHANCE_YOUR_CALM));
    drop(receiver);
    // Taken or not, by then the server has closed.
    flood.await.unwrap();
    assert!(busy.count() <= 100, "{}", busy.count());
}

#[tokio::test]
async fn requests_that_the_server_is_made_to_reset_end_the_connection() {
    let busy = Busy::default();
    let server = serve(busy.router(), |_| {}).await;
    let (mut sender, mut receiver) = open(server.addr, &[]).await;
    let mut flood = Vec::new();
    for stream in (1..4_001).step_by(2) {
        flood.extend(frame(kind::HEADERS, END_HEADERS | END_STREAM, stream, GET));
        // A window over its greatest size is an error of the stream.
        flood.extend(frame(kind::WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff]));
    }
    let flood = tokio::spawn(async move { sender.say(&flood).await });
    assert_eq!(receiver.farewell().await, Some(ENHANCE_YOUR_CALM));
    drop(receiver);
    flood.await.unwrap();
    assert!(busy.count() <= 100, "{}", busy.count());
}

#[tokio::test]
async fn headers_that_never_end_end_the_connection() {
    let server = serve(Router::new(), |config| config.max_linger_bytes = 1 << 20).await;
    let (mut sender, mut receiver) = open(server.addr, &[]).await;
    assert!(sender.frame(kind::HEADERS, END_STREAM, 1, GET).await);
    // A header with a name of its own: 0, length and text of the name, the same of the value.
    let header = [&[0, 1, b'x', 100][..], &[b'y'; 100]].concat();
    let part = frame(kind::CONTINUATION, 0, 1, &header.repeat(100));
    let flood = tokio::spawn(async move {
        let mut sent = 0;
        while sent < 64 << 20 && sender.say(&part).await {
            sent += part.len();
        }
        sent
    });
    assert_eq!(receiver.farewell().await, Some(ENHANCE_YOUR_CALM));
    drop(receiver);
    let sent = flood.await.unwrap();
    // What the sockets hold, and what is read on behind the farewell.
    assert!(sent < 16 << 20, "{sent} bytes of headers were taken");
}

#[tokio::test]
async fn headers_that_grow_when_they_are_read_reach_nobody() {
    let busy = Busy::default();
    let server = serve(busy.router(), |_| {}).await;
    let (mut sender, mut receiver) = open(server.addr, &[]).await;
    // One header in the table, then named again by one byte each: small on the wire, four million bytes once read.
    let entry = [&[0x40, 1, b'x', 127, 0xa1, 0x1e][..], &[b'y'; 4_000]].concat();
    let block = [GET, &entry, &[0x80 | 62; 1_000]].concat();
    assert!(sender.frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &block).await);
    while let Some(frame) = receiver.next().await {
        if [kind::HEADERS, kind::RST_STREAM, kind::GOAWAY].contains(&frame.kind) {
            break;
        }
    }
    assert_eq!(busy.count(), 0);
}

#[tokio::test]
async fn a_flood_of_settings_or_pings_that_reads_no_answer_is_cut_off() {
    for part in [frame(kind::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]), frame(kind::PING, 0, 0, &[0; 8])] {
        let server = serve(Router::new(), |config| {
            config.write_timeout = SHORT;
            config.keep_alive_idle = Duration::from_secs(600);
            config.header_timeout = Duration::from_secs(600);
        })
        .await;
        let (mut sender, receiver) = open(server.addr, &[]).await;
        let batch = part.repeat(10_000);
        let mut sent = 0_u64;
        while sender.say(&batch).await {
            sent += batch.len() as u64;
            assert!(sent < 4 << 30, "the server takes it for ever");
        }
        drop(receiver);
    }
}

#[tokio::test]
async fn pings_do_not_keep_a_connection_alive_that_asks_nothing() {
    let server = serve(Router::new().route("/", get(async || "ok")), |config| config.keep_alive_idle = SHORT).await;
    let (mut sender, mut receiver) = open(server.addr, &[]).await;
    assert!(sender.frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, GET).await);
    let pings = tokio::spawn(async move { while sender.frame(kind::PING, 0, 0, &[0; 8]).await {} });
    assert!(receiver.farewell().await.is_some());
    drop(receiver);
    pings.await.unwrap();
}

#[tokio::test]
async fn an_answer_whose_window_never_opens_is_given_up() {
    let endless = async || Body::from_stream(stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'x'; 1_024])));
    for window in [0, 100] {
        let server = serve(Router::new().route("/", get(endless)), |config| config.write_timeout = SHORT).await;
        let (mut sender, mut receiver) = open(server.addr, &[(INITIAL_WINDOW_SIZE, window)]).await;
        assert!(sender.frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, GET).await);
        // Pings go on, so that the connection itself is alive.
        let pings = tokio::spawn(async move { while sender.frame(kind::PING, 0, 0, &[0; 8]).await {} });
        timeout(PATIENCE, receiver.farewell()).await.expect("it is given up");
        drop(receiver);
        pings.await.unwrap();
    }
}

#[tokio::test]
async fn an_answer_that_is_taken_by_little_is_given_up() {
    const PIECE: u32 = 10;
    let pieces =
        async || Body::from_stream(stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'x'; PIECE as usize])));
    let server = serve(Router::new().route("/", get(pieces)), |config| config.write_timeout = SHORT).await;
    let (mut sender, mut receiver) = open(server.addr, &[(INITIAL_WINDOW_SIZE, PIECE)]).await;
    assert!(sender.frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, GET).await);
    // Each piece within the limit of one, and all of them far too slowly.
    let drip = tokio::spawn(async move {
        let mut pace = tokio::time::interval(SHORT / 2);
        while sender.frame(kind::WINDOW_UPDATE, 0, 1, &PIECE.to_be_bytes()).await {
            pace.tick().await;
        }
    });
    timeout(PATIENCE, receiver.farewell()).await.expect("it is given up");
    drop(receiver);
    drip.await.unwrap();
}

#[tokio::test]
async fn a_large_answer_that_is_taken_slowly_arrives_whole() {
    const SIZE: u32 = 1 << 20;
    let whole = async || vec![b'x'; SIZE as usize];
    let server = serve(Router::new().route("/", get(whole)), |config| {
        (config.keep_alive_idle, config.linger) = (SHORT, SHORT);
    })
    .await;
    let (mut sender, mut receiver) = open(server.addr, &[(INITIAL_WINDOW_SIZE, 1)]).await;
    assert!(sender.frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, GET).await);
    let opening = tokio::spawn(async move {
        // Longer than a connection on which nothing is in flight may rest and linger.
        let mut pace = tokio::time::interval(SHORT / 2);
        for _ in 0..12 {
            pace.tick().await;
            sender.frame(kind::WINDOW_UPDATE, 0, 1, &1_000_u32.to_be_bytes()).await;
        }
        for stream in [0, 1] {
            sender.frame(kind::WINDOW_UPDATE, 0, stream, &(2 * SIZE).to_be_bytes()).await;
        }
        sender
    });
    let mut taken = 0;
    while taken < SIZE as usize {
        let frame = receiver.next().await.expect("it goes on");
        if frame.kind == kind::DATA {
            taken += frame.payload.len();
        }
    }
    assert_eq!(taken, SIZE as usize);
    drop(opening.await.unwrap());
}

#[tokio::test]
async fn large_answers_that_wait_for_the_peer_to_read_arrive_whole() {
    // What is kept of a stream that has a window for it; of this many together no system keeps all.
    const SIZE: usize = 390_000;
    const STREAMS: u32 = 12;
    let server = serve(Router::new().route("/", get(async || vec![b'x'; SIZE])), |config| {
        (config.keep_alive_idle, config.linger) = (SHORT, SHORT);
    })
    .await;
    let (mut sender, mut receiver) = open(server.addr, &[(INITIAL_WINDOW_SIZE, 1 << 20)]).await;
    assert!(sender.frame(kind::WINDOW_UPDATE, 0, 0, &(1_u32 << 24).to_be_bytes()).await);
    for stream in 0..STREAMS {
        assert!(sender.frame(kind::HEADERS, END_HEADERS | END_STREAM, 2 * stream + 1, GET).await);
    }
    // Longer than a connection on which nothing is in flight may rest and linger.
    tokio::time::sleep(SHORT * 6).await;
    let mut taken = 0;
    while taken < SIZE * STREAMS as usize {
        let frame = receiver.next().await.expect("it goes on");
        taken += if frame.kind == kind::DATA { frame.payload.len() } else { 0 };
    }
}

#[tokio::test]
async fn a_reader_that_is_far_behind_is_not_given_up() {
    const SIZE: usize = 4 << 20;
    let server = serve(Router::new().route("/", get(async || vec![b'x'; SIZE])), |config| {
        (config.keep_alive_idle, config.header_timeout) = (SHORT, SHORT);
    })
    .await;
    // It answers no ping: where the system keeps what has a window, one comes behind all of that.
    let (mut sender, mut receiver) = open(server.addr, &[(INITIAL_WINDOW_SIZE, 2 * SIZE as u32)]).await;
    assert!(sender.frame(kind::WINDOW_UPDATE, 0, 0, &(2 * SIZE as u32).to_be_bytes()).await);
    assert!(sender.frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, GET).await);
    let mut taken = 0;
    let mut pace = tokio::time::interval(SHORT / 64);
    while taken < SIZE {
        let frame = receiver.next().await.expect("it goes on");
        taken += if frame.kind == kind::DATA { frame.payload.len() } else { 0 };
        pace.tick().await;
    }
}

#[tokio::test]
async fn an_answer_that_is_given_up_leaves_the_others_time() {
    let endless = async || Body::from_stream(stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'x'; 1_024])));
    let go_on = Arc::new(tokio::sync::Semaphore::new(0));
    let wait = Arc::clone(&go_on);
    let late = async move || {
        wait.acquire().await.unwrap().forget();
        "late"
    };
    let router = Router::new().route("/", get(endless)).route("/late", get(late));
    let server = serve(router, |config| config.write_timeout = Duration::from_secs(5)).await;
    let (mut sender, mut receiver) = open(server.addr, &[(INITIAL_WINDOW_SIZE, 100)]).await;
    assert!(sender.frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, GET).await);
    // The same with the path as a text.
    let late = [&[0x82, 4, 5][..], b"/late", &[0x86, 0x41, 1, b'a']].concat();
    assert!(sender.frame(kind::HEADERS, END_HEADERS | END_STREAM, 3, &late).await);
    let mut next = async || receiver.next().await.expect("it goes on for the other");
    while next().await.kind != kind::GOAWAY {}
    go_on.add_permits(1);
    let answer = loop {
        let frame = next().await;
        if (frame.kind, frame.stream) == (kind::DATA, 3) {
            break frame.payload;
        }
    };
    assert_eq!(answer, b"late");
    assert!(timeout(PATIENCE, receiver.farewell()).await.is_ok(), "the one that is stuck holds it no longer");
}

#[tokio::test]
async fn an_answer_that_waits_for_its_own_body_is_not_given_up() {
    let (piece, body) = tokio::sync::mpsc::channel::<&'static str>(1);
    let body = Arc::new(tokio::sync::Mutex::new(Some(body)));
    let slow = move || async move {
        let body = body.lock().await.take().unwrap();
        Body::from_stream(stream::unfold(body, async |mut body| {
            Some((Ok::<_, std::io::Error>(body.recv().await?), body))
        }))
    };
    let server = serve(Router::new().route("/", get(slow)), |config| config.write_timeout = SHORT).await;
    let (mut sender, mut receiver) = open(server.addr, &[]).await;
    assert!(sender.frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, GET).await);
    piece.send("first").await.unwrap();
    while receiver.next().await.unwrap().kind != kind::DATA {}
    // Longer than the limit: an answer that is cut off could not go on behind it.
    tokio::time::sleep(2 * SHORT).await;
    piece.send("second").await.unwrap();
    loop {
        let frame = receiver.next().await.expect("it goes on");
        if frame.kind == kind::DATA {
            return assert_eq!(frame.payload, b"second");
        }
    }
}

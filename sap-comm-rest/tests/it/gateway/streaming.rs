use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use axum::{Router, body::Body, extract::Request, routing::post};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{mpsc, oneshot},
};

use super::support::{Wire, echo, raw_upstream, read_head, serve, serve_impatiently, to, upstream, within};

const PIECE: usize = 64 * 1024;
const PIECES: u64 = 1_024;

#[tokio::test]
async fn an_upload_reaches_the_upstream_as_it_comes_and_no_faster_than_it_takes_it() {
    let (first, arrived) = oneshot::channel();
    let received = Arc::new(AtomicU64::new(0));
    let (count, first) = (Arc::clone(&received), Arc::new(std::sync::Mutex::new(Some(first))));
    let router = Router::new().route(
        "/api",
        post(move |request: Request| async move {
            let mut body = request.into_body().into_data_stream();
            while let Some(piece) = body.next().await {
                count.fetch_add(piece.unwrap().len() as u64, Ordering::SeqCst);
                if let Some(first) = first.lock().unwrap().take() {
                    let _ = first.send(());
                }
            }
            count.load(Ordering::SeqCst).to_string()
        }),
    );
    let upstream = upstream(router).await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let mut wire = Wire::open(&gateway).await;
    let total = PIECES * PIECE as u64;
    wire.write(format!("POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: {total}\r\n\r\n")).await;
    let piece = vec![b'x'; PIECE];
    wire.write(&piece).await;
    // Nothing more is sent until the upstream has some of it.
    within(arrived).await.unwrap();
    assert!(received.load(Ordering::SeqCst) <= PIECE as u64);
    for _ in 1..PIECES {
        wire.write(&piece).await;
    }
    assert_eq!(String::from_utf8(wire.answer().await.body).unwrap(), total.to_string());
}

#[tokio::test]
async fn a_download_is_read_no_faster_than_the_client_takes_it() {
    let produced = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&produced);
    let router = Router::new().fallback(move || async move {
        let pieces = stream::iter(0..PIECES).map(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; PIECE]))
        });
        Body::from_stream(pieces)
    });
    let upstream = upstream(router).await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let mut wire = Wire::open(&gateway).await;
    wire.write("GET /api HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let head = read_head(&mut wire.0).await;
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    let mut read = wire.chunk().await.unwrap().len() as u64;
    // Everybody runs on this one thread, so after enough turns nobody can go on.
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    let before = produced.load(Ordering::SeqCst);
    // What is under way stands in the sockets' buffers: a bounded part of the whole.
    assert!(before < PIECES / 2, "{before} of {PIECES} pieces were made for one that was read");
    while let Some(chunk) = wire.chunk().await {
        read += chunk.len() as u64;
    }
    assert_eq!(read, PIECES * PIECE as u64);
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    let (sender, receiver) = mpsc::channel::<&'static str>(1);
    let receiver = Arc::new(tokio::sync::Mutex::new(Some(receiver)));
    let router = Router::new().fallback(move || async move {
        let receiver = receiver.lock().await.take().unwrap();
        let events = stream::unfold(receiver, async |mut receiver| {
            let event = receiver.recv().await?;
            Some((Ok::<_, std::io::Error>(Bytes::from(event)), receiver))
        });
        ([("content-type", "text/event-stream")], Body::from_stream(events))
    });
    let upstream = upstream(router).await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let mut wire = Wire::open(&gateway).await;
    wire.write("GET /api HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let head = within(read_head(&mut wire.0)).await;
    assert!(head.contains("content-type: text/event-stream"));
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        sender.send(event).await.unwrap();
        assert_eq!(wire.chunk().await.unwrap(), event.as_bytes());
    }
    drop(sender);
    assert_eq!(wire.chunk().await, None);
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_along() {
    let (gone, noticed) = oneshot::channel();
    let gone = Arc::new(std::sync::Mutex::new(Some(gone)));
    let (asked, arrived) = mpsc::channel(1);
    let (asked, mut arrived) = (asked, arrived);
    let upstream = raw_upstream(move |mut stream, _| {
        let (gone, asked) = (Arc::clone(&gone), asked.clone());
        async move {
            read_head(&mut stream).await;
            asked.send(()).await.unwrap();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            if let Some(gone) = gone.lock().unwrap().take() {
                let _ = gone.send(());
            }
        }
    })
    .await;
    let gateway = to(&upstream).build().unwrap();
    let edge = serve_impatiently(gateway.clone()).await;
    let mut wire = Wire::open(&edge).await;
    wire.write("GET /api HTTP/1.1\r\nHost: a\r\n\r\n").await;
    within(arrived.recv()).await.unwrap();
    drop(wire);
    within(noticed).await.unwrap();
    let window = gateway.breakers().remove(0);
    assert_eq!(window.failed, 0, "nobody is to blame");
}

#[tokio::test]
async fn an_answer_that_comes_before_the_whole_body_is_passed_on() {
    let upstream = raw_upstream(|mut stream, _| async move {
        read_head(&mut stream).await;
        let answer = b"HTTP/1.1 409 Conflict\r\nConnection: close\r\nContent-Length: 5\r\n\r\nearly";
        stream.write_all(answer).await.unwrap();
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
    .await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let mut wire = Wire::open(&gateway).await;
    wire.write("POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\npart").await;
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.body.as_slice()), (409, &b"early"[..]));
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_with_and_without_a_length() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to(&upstream).max_body(1_000).build().unwrap()).await;
    let mut wire = Wire::open(&gateway).await;
    wire.write("POST /api HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n").await;
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "PAYLOAD_TOO_LARGE"));
    assert_eq!(answer.json()["error"]["details"]["limit"], 1_000);
    let mut wire = Wire::open(&gateway).await;
    wire.write("POST /api HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    wire.write(format!("258\r\n{0}\r\n258\r\n{0}\r\n0\r\n\r\n", "x".repeat(600))).await;
    assert_eq!(wire.answer().await.status, 413);
}

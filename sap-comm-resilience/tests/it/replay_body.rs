//! Bodies that are sent again though they can be read only once.

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{FutureExt, poll};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full, StreamBody, channel::Channel};
use sap_comm_resilience::{Hedge, HttpReplay, Pipeline, Replay, ReplayBody, ReplayBodyError, ReplayBodyLayer, Retry};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::support::{MILLISECOND, SECOND};

type Sender = http_body_util::channel::Sender<Bytes, io::Error>;
type Streamed = ReplayBody<Channel<Bytes, io::Error>>;

fn streamed(max_body: u64) -> (Sender, Streamed) {
    let (sender, body) = Channel::new(16);
    (sender, ReplayBody::new(body, max_body))
}

async fn data(body: &mut Streamed) -> Bytes {
    body.frame().await.unwrap().unwrap().into_data().unwrap()
}

async fn whole(body: Streamed) -> Result<(Bytes, Option<HeaderMap>), ReplayBodyError<io::Error>> {
    let collected = body.collect().await?;
    let trailers = collected.trailers().cloned();
    Ok((collected.to_bytes(), trailers))
}

#[tokio::test]
async fn a_copy_has_data_and_trailers_of_the_original() {
    let (mut sender, body) = streamed(14);
    let copy = body.replay().unwrap();
    sender.send_data("hello ".into()).await.unwrap();
    sender.send_data("ada".into()).await.unwrap();
    let trailers = HeaderMap::from_iter([(http::header::ETAG, "1".parse().unwrap())]);
    sender.send_trailers(trailers.clone()).await.unwrap();
    drop(sender);
    let first = whole(body).await.unwrap();
    assert_eq!(first, ("hello ada".into(), Some(trailers)));
    let again = copy.replay().unwrap();
    assert_eq!(whole(copy).await.unwrap(), first);
    assert_eq!(whole(again).await.unwrap(), first);
}

#[tokio::test]
async fn it_streams_while_it_keeps_and_copies_no_bytes() {
    let (mut sender, mut body) = streamed(10);
    let mut copy = body.replay().unwrap();
    let chunk = Bytes::from(vec![7; 4]);
    sender.send_data(chunk.clone()).await.unwrap();
    let first = data(&mut body).await;
    assert_eq!(first.as_ptr(), chunk.as_ptr());
    assert_eq!(data(&mut copy).await.as_ptr(), chunk.as_ptr());
    assert!(body.frame().now_or_never().is_none(), "it waits for more");
}

#[tokio::test]
async fn a_copy_goes_on_where_a_dropped_original_stopped() {
    let (mut sender, mut body) = streamed(10);
    let copy = body.replay().unwrap();
    sender.send_data("one".into()).await.unwrap();
    sender.send_data("two".into()).await.unwrap();
    assert_eq!(data(&mut body).await, "one");
    drop(body);
    let whole = tokio::spawn(whole(copy));
    sender.send_data("three".into()).await.unwrap();
    drop(sender);
    assert_eq!(whole.await.unwrap().unwrap().0, "onetwothree");
}

#[tokio::test]
async fn two_copies_are_read_at_once() {
    let (mut sender, mut body) = streamed(10);
    let mut copy = body.replay().unwrap();
    let (mut first, mut second) = (Box::pin(data(&mut body)), Box::pin(data(&mut copy)));
    assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
    sender.send_data("one".into()).await.unwrap();
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first, second), ("one".into(), "one".into()));
}

#[tokio::test]
async fn a_copy_that_waits_is_woken_when_the_one_that_asked_last_is_dropped() {
    let (mut sender, mut body) = streamed(10);
    let mut copy = body.replay().unwrap();
    let waits = tokio::spawn(async move { data(&mut body).await });
    tokio::task::yield_now().await;
    assert!(copy.frame().now_or_never().is_none());
    drop(copy);
    sender.send_data("one".into()).await.unwrap();
    assert_eq!(waits.await.unwrap(), "one");
}

#[tokio::test]
async fn the_bound_is_what_may_be_kept_and_not_a_byte_more() {
    let (mut sender, mut body) = streamed(4);
    let mut copy = body.replay().unwrap();
    sender.send_data("ab".into()).await.unwrap();
    sender.send_data("cd".into()).await.unwrap();
    sender.send_data(Bytes::new()).await.unwrap();
    sender.send_data("e".into()).await.unwrap();
    drop(sender);
    assert_eq!(data(&mut body).await, "ab");
    assert_eq!(data(&mut body).await, "cd");
    assert!(body.replay().is_some(), "four bytes are kept");
    assert_eq!(data(&mut body).await, "e");
    assert!(body.replay().is_none(), "the fifth lost them");
    assert!(body.frame().await.is_none(), "the original goes on to its end");
    assert!(matches!(copy.frame().await, Some(Err(ReplayBodyError::Lost))));
}

#[tokio::test]
async fn a_body_in_crumbs_is_kept_up_to_a_number_of_frames() {
    let (mut sender, mut body) = streamed(640);
    let _copy = body.replay();
    for _ in 0..74 {
        sender.send_data("1".into()).await.unwrap();
        data(&mut body).await;
    }
    assert!(body.replay().is_some());
    sender.send_data("1".into()).await.unwrap();
    data(&mut body).await;
    assert!(body.replay().is_none(), "640 bytes allow ten frames beyond the 64");
}

#[tokio::test]
async fn nothing_is_kept_when_no_copy_waits() {
    let (mut sender, mut body) = streamed(10);
    drop(body.replay());
    let chunk = Bytes::from(vec![7; 4]);
    sender.send_data(chunk.clone()).await.unwrap();
    drop(data(&mut body).await);
    assert!(chunk.is_unique());
    assert!(body.replay().is_none());
}

#[tokio::test]
async fn a_body_that_says_it_is_too_long_is_never_kept() {
    let body = ReplayBody::new(Full::<Bytes>::from("12345"), 4);
    assert!(body.replay().is_none());
    assert_eq!(body.collect().await.unwrap().to_bytes(), "12345");
    assert!(ReplayBody::new(Full::<Bytes>::from("1234"), 4).replay().is_some());
}

#[tokio::test]
async fn an_error_of_the_body_ends_all_copies() {
    let (mut sender, mut body) = streamed(10);
    let mut copy = body.replay().unwrap();
    sender.send_data("one".into()).await.unwrap();
    sender.abort(io::Error::other("disk"));
    assert_eq!(data(&mut body).await, "one");
    assert!(matches!(body.frame().await, Some(Err(ReplayBodyError::Body(_)))));
    assert!(body.frame().await.is_none());
    assert!(body.replay().is_none());
    assert!(copy.frame().await.unwrap().is_err());
}

#[tokio::test]
async fn a_size_that_is_known_stays_known() {
    let mut body = ReplayBody::new(Full::<Bytes>::from("12345"), 10);
    let copy = body.replay().unwrap();
    assert_eq!(body.size_hint().exact(), Some(5));
    assert!(!body.is_end_stream());
    body.frame().await.unwrap().unwrap();
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(0), true));
    assert_eq!((copy.size_hint().exact(), copy.is_end_stream()), (Some(5), false));
    let empty = ReplayBody::new(http_body_util::Empty::<Bytes>::new(), 0);
    assert!(empty.is_end_stream() && empty.replay().unwrap().is_end_stream());

    let unknown = StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, io::Error>>());
    let hint: SizeHint = ReplayBody::new(unknown, 10).size_hint();
    assert_eq!((hint.lower(), hint.upper()), (0, None));
}

/// A server that reads so many frames of a body before it answers 503, until the last attempt, which reads it all.
#[derive(Clone)]
struct Impatient {
    frames: usize,
    failures: u32,
    calls: Arc<AtomicU32>,
    received: Arc<Mutex<Bytes>>,
    /// Bodies of attempts before, which a connection may still be sending.
    sending: Arc<Mutex<Vec<Streamed>>>,
}

impl Impatient {
    fn new(frames: usize, failures: u32) -> Self {
        let (calls, received, sending) = (Arc::default(), Arc::default(), Arc::default());
        Self { frames, failures, calls, received, sending }
    }

    async fn answer(self, request: Request<Streamed>) -> Result<Response<()>, ReplayBodyError<io::Error>> {
        let mut body = request.into_body();
        let mut response = Response::new(());
        if self.calls.fetch_add(1, Ordering::SeqCst) < self.failures {
            for _ in 0..self.frames {
                body.frame().await.transpose()?;
            }
            self.sending.lock().unwrap().push(body);
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        } else {
            *self.received.lock().unwrap() = body.collect().await?.to_bytes();
        }
        Ok(response)
    }
}

fn retry() -> Retry {
    Retry::builder().max_retries(3).min_delay(SECOND).build().unwrap()
}

/// Sends "one", "two", "three" in a stream, and tells the last status.
async fn upload(server: &Impatient, method: Method, key: bool, max_body: u64) -> Result<u16, String> {
    let server = server.clone();
    let service = service_fn(move |request| server.clone().answer(request));
    let mut service = retry().http_layer().streaming(max_body).layer(service);
    let (mut sender, body) = Channel::<Bytes, io::Error>::new(8);
    for chunk in ["one", "two", "three"] {
        sender.send_data(chunk.into()).await.unwrap();
    }
    drop(sender);
    let mut request = Request::builder().method(method).body(body).unwrap();
    if key {
        request.headers_mut().insert("idempotency-key", "k1".parse().unwrap());
    }
    let response = service.ready().await.unwrap().call(request).await;
    response.map(|response| response.status().as_u16()).map_err(|error| error.to_string())
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_sent_again_from_its_beginning_even_if_it_was_not_read_to_its_end() {
    for frames in 0..=3 {
        let server = Impatient::new(frames, 2);
        assert_eq!(upload(&server, Method::PUT, false, 11).await, Ok(200));
        assert_eq!(*server.received.lock().unwrap(), "onetwothree");
        let sending = std::mem::take(&mut *server.sending.lock().unwrap());
        for mut stale in sending {
            let next = stale.frame().await;
            assert!(matches!(next, Some(Err(ReplayBodyError::GivenUp))), "{next:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_beyond_the_bound_is_sent_once() {
    let server = Impatient::new(3, 2);
    assert_eq!(upload(&server, Method::PUT, false, 10).await, Ok(503));
    assert_eq!(server.calls.load(Ordering::SeqCst), 1);
    let patient = Impatient::new(0, 0);
    assert_eq!(upload(&patient, Method::PUT, false, 10).await, Ok(200));
    assert_eq!(*patient.received.lock().unwrap(), "onetwothree");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_idempotent_is_sent_once_unless_it_has_a_key() {
    let server = Impatient::new(0, 1);
    assert_eq!(upload(&server, Method::POST, false, 100).await, Ok(503));
    assert_eq!(server.calls.load(Ordering::SeqCst), 1);
    let server = Impatient::new(1, 2);
    assert_eq!(upload(&server, Method::POST, true, 100).await, Ok(200));
    assert_eq!(*server.received.lock().unwrap(), "onetwothree");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_fails_is_not_sent_again() {
    let calls = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&calls);
    let service = service_fn(move |request: Request<Streamed>| {
        count.fetch_add(1, Ordering::SeqCst);
        async { request.into_body().collect().await.map(|_| Response::new(())) }
    });
    let (mut sender, body) = Channel::<Bytes, io::Error>::new(2);
    sender.send_data("one".into()).await.unwrap();
    sender.abort(io::Error::other("disk"));
    let request = Request::builder().method(Method::PUT).body(body).unwrap();
    let result = retry().http_layer().streaming(100).layer(service).oneshot(request).await;
    assert!(matches!(result, Err(ReplayBodyError::Body(_))));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_sends_streams_again_too() {
    let server = Impatient::new(2, 2);
    let answer = server.clone();
    let service = service_fn(move |request| answer.clone().answer(request));
    let pipeline = Pipeline::builder("test").deadline(60 * SECOND).retry(retry()).timeout(SECOND).build().unwrap();
    let (mut sender, body) = Channel::<Bytes, io::Error>::new(8);
    for chunk in ["one", "two", "three"] {
        sender.send_data(chunk.into()).await.unwrap();
    }
    drop(sender);
    let request = Request::builder().method(Method::PUT).body(body).unwrap();
    let response = pipeline.http_layer().streaming(100).layer(service).oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(*server.received.lock().unwrap(), "onetwothree");
}

#[tokio::test]
async fn the_copy_of_a_request_has_all_but_the_bytes() {
    let request = Request::builder().method(Method::PUT).uri("http://users/1").header("x-a", "b").extension(7_u8);
    let request = request.body(ReplayBody::new(Full::<Bytes>::from("1"), 1)).unwrap();
    let copy = HttpReplay::default().replay(&request).unwrap();
    assert_eq!((copy.method(), copy.uri(), copy.headers()), (request.method(), request.uri(), request.headers()));
    assert_eq!(copy.extensions().get::<u8>(), Some(&7));
    let never: Result<_, ReplayBodyError<Infallible>> = copy.into_body().collect().await;
    assert_eq!(never.unwrap().to_bytes(), "1");
}

/// Uploads a stream of eight bytes, one a hundred milliseconds, through a hedge after so long; the calls, and what the answer's
/// call received.
async fn hedged_upload(delay: std::time::Duration, max_body: u64) -> (u32, usize) {
    let calls = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&calls);
    let service = service_fn(move |request: Request<Streamed>| {
        let call = count.fetch_add(1, Ordering::SeqCst);
        async move {
            let received = request.into_body().collect().await?.to_bytes().len();
            // The hedge is quick and the first call is slow.
            tokio::time::sleep(if call == 0 { 10 * SECOND } else { MILLISECOND }).await;
            Ok::<_, ReplayBodyError<io::Error>>(Response::new(received))
        }
    });
    let hedge = Hedge::builder().delay(delay).budget(1.0).build().unwrap();
    let service = ReplayBodyLayer::new(max_body).layer(hedge.http_layer().layer(service));
    let (mut sender, body) = Channel::<Bytes, io::Error>::new(1);
    let send = async move {
        for _ in 0..8 {
            tokio::time::sleep(100 * MILLISECOND).await;
            sender.send_data("1".into()).await.unwrap();
        }
    };
    let request = Request::builder().method(Method::PUT).body(body).unwrap();
    let (response, ()) = tokio::join!(service.oneshot(request), send);
    (calls.load(Ordering::SeqCst), response.unwrap().into_body())
}

/// Trap 24.
#[tokio::test(start_paused = true)]
async fn a_stream_is_hedged_only_once_all_of_it_is_kept() {
    assert_eq!(hedged_upload(SECOND, 8).await, (2, 8));
    assert_eq!(hedged_upload(SECOND, 7).await, (1, 8), "its beginning is gone");
    assert_eq!(hedged_upload(SECOND / 2, 8).await, (1, 8), "it is still being sent");
    assert_eq!(hedged_upload(SECOND / 2, 7).await, (1, 8), "a copy would end the first call");
}

#[tokio::test]
async fn trailers_count_against_the_bound_too() {
    for (max_body, kept) in [(8, true), (7, false)] {
        let (mut sender, mut body) = streamed(max_body);
        let copy = body.replay().unwrap();
        sender.send_data("ada".into()).await.unwrap();
        sender.send_trailers(HeaderMap::from_iter([(http::header::ETAG, "1".parse().unwrap())])).await.unwrap();
        drop(sender);
        while body.frame().await.is_some() {}
        assert_eq!(whole(copy).await.is_ok(), kept, "{max_body}");
    }
}

/// A body that runs code of its own when it is polled.
struct Calling<F>(F);

impl<F: FnMut() -> Option<Bytes> + Unpin> Body for Calling<F> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        std::task::Poll::Ready((self.0)().map(|data| Ok(Frame::data(data))))
    }
}

type Reentrant = ReplayBody<Calling<Box<dyn FnMut() -> Option<Bytes> + Send>>>;

#[tokio::test]
async fn a_body_that_uses_its_own_copy_stops_nobody() {
    let copies: Arc<Mutex<Vec<Reentrant>>> = Arc::default();
    let inside = Arc::clone(&copies);
    let mut body: Reentrant = ReplayBody::new(
        Calling(Box::new(move || {
            let mut copy = inside.lock().unwrap().pop()?;
            assert!(copy.frame().now_or_never().is_none(), "it waits for the one that is asking");
            assert!(!copy.is_end_stream() && copy.size_hint().upper().is_none() && copy.replay().is_some());
            Some("one".into())
        })),
        10,
    );
    let mut other = body.replay().unwrap();
    copies.lock().unwrap().push(body.replay().unwrap());
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
    assert_eq!(other.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
    assert!(body.frame().await.is_none() && other.frame().await.is_none());
}

#[tokio::test]
async fn a_body_that_panics_ends_its_copies_too() {
    let mut body: Reentrant = ReplayBody::new(Calling(Box::new(|| panic!("a bug in a body"))), 10);
    let mut copy = body.replay().unwrap();
    assert!(std::panic::AssertUnwindSafe(body.frame()).catch_unwind().await.is_err());
    assert!(!copy.is_end_stream(), "it did not come to its end");
    assert!(matches!(copy.frame().await, Some(Err(ReplayBodyError::Lost))));
    assert!(copy.replay().is_none());
}

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use axum::body::Body as AxumBody;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Either;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulConnection},
};
use pin_project_lite::pin_project;
use sap_comm_core::BoxError;
use tokio::{
    task::unconstrained,
    time::{Instant, sleep_until},
};

use super::{
    ServerConfig,
    activity::{Activity, InFlight, Phase},
    admission::admit,
    cookies::join_cookies,
    framing::Framing,
    handler::ConnectionHandler,
    linger::Lingering,
    link::{Link, Listening},
    stream::{Stream, Watch},
    whole::Whole,
};
use crate::tls::{ServerTls, TlsConnection, Transport};

/// Serves one connection until it ends, is over a limit, or has drained.
pub(super) async fn serve<H: ConnectionHandler>(
    transport: Transport,
    tls: Option<TlsConnection>,
    handler: H,
    link: Link,
) {
    let Link { peer, permit, listening, lingering } = link;
    let Listening { config, crowd, refusals, tls: server_tls, .. } = listening;
    let hsts = server_tls.as_ref().and_then(ServerTls::hsts).cloned();
    let activity = Arc::new(Activity::new(&config));
    let _place = crowd.join(&activity);
    if tls.is_some() && activity.drains() {
        // The first request of some clients is half a round trip behind the end of the handshake.
        activity.shakes_hands();
    }
    let framing = Framing::new(config.max_header_bytes);
    let verdict = framing.verdict();
    let watch = Watch {
        config: Arc::clone(&config),
        activity: Arc::clone(&activity),
        framing,
        lingering: lingering.clone(),
        refusals: Arc::clone(&refusals),
    };
    let io = TokioIo::new(Stream::new(transport, watch, permit));
    let builder = builder(&config);
    let watched = Arc::clone(&activity);
    let limits = Limits { goodbye: config.linger, rest: config.write_timeout };
    let answer = service_fn(move |mut request: Request<Incoming>| {
        let version = request.version();
        let is_http2 = version == Version::HTTP_2;
        // On HTTP/1 hyper leaves the content out.
        let is_head = is_http2 && request.method() == Method::HEAD;
        if is_http2 {
            join_cookies(request.headers_mut());
        }
        let mut in_flight = watched.begin(is_http2);
        let handler = handler.clone();
        let activity = Arc::clone(&watched);
        let has_body = request.version() < Version::HTTP_2 && !request.body().is_end_stream();
        let (tls, hsts) = (tls.clone(), hsts.clone());
        let admitted = admit(&request, &config, &verdict).map_err(|refusal| refusal.into_response(&request, &refusals));
        async move {
            let mut response = match admitted {
                Ok(()) => {
                    if let Some(tls) = tls {
                        request.extensions_mut().insert(tls);
                    }
                    handler.handle(Whole::of(request)).await.map(Either::Left)
                }
                Err(refusal) => refusal.map(Either::<H::Body, AxumBody>::Right),
            };
            if !is_http2 && activity.drains() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                tell_last(response.headers_mut());
            }
            if let Some(hsts) = hsts {
                response.headers_mut().entry(header::STRICT_TRANSPORT_SECURITY).or_insert(hsts);
            }
            if has_body {
                let_hyper_look().await;
            }
            match response.status() {
                StatusCode::SWITCHING_PROTOCOLS => activity.switch(),
                status => activity.answered(status.is_client_error() && response.body().is_end_stream()),
            }
            // Of a closed window the body hears nothing: it is not asked for its first part either.
            in_flight.sending(0);
            if is_head {
                tell_length(&mut response);
            } else if version == Version::HTTP_10 {
                tell_end(&mut response);
            }
            Ok::<_, Infallible>(response.map(|body| Outgoing { body, rest: Bytes::new(), in_flight, is_head }))
        }
    });
    let connection = builder.serve_connection_with_upgrades(io, answer);
    if let Err(error) = drive(connection, &activity, &lingering, limits).await {
        tracing::debug!(%peer, error = &*error, "connection ended");
    }
}

/// Says that no answer comes behind this one.
fn tell_last(headers: &mut HeaderMap) {
    if headers.get_all(header::CONNECTION).iter().all(|connection| connection != "close") {
        headers.append(header::CONNECTION, HeaderValue::from_static("close"));
    }
}

/// Says of an answer to `HEAD` how long its content would be.
fn tell_length<B: Body>(response: &mut Response<B>) {
    if let Some(length @ 1..) = response.body().size_hint().exact() {
        response.headers_mut().entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
    }
}

/// Tells a client of HTTP/1.0 that the connection ends where only that tells how long the answer is.
fn tell_end<B: Body>(response: &mut Response<B>) {
    let has_length = response.body().size_hint().exact().is_some();
    let headers = response.headers_mut();
    if !has_length && !headers.contains_key(header::CONTENT_LENGTH) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if headers.get(header::CONNECTION).is_some_and(|connection| connection == "close") {
        // To one of HTTP/1.1 hyper would put that the connection is kept.
        *response.version_mut() = Version::HTTP_10;
    }
}

/// Gives hyper a look at the request's body before the response is written: where the rest of it is wanted by nobody, the
/// connection ends behind the response, which then says so.
async fn let_hyper_look() {
    let mut looked = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut looked, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What hyper takes unless it is told otherwise.
const HYPERS_MAX_HEADERS: usize = 100;

fn builder(config: &ServerConfig) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // Hyper's own timer counts an idle connection as one that sends headers; `Activity` tells them apart.
        .header_read_timeout(None)
        .max_buf_size(config.max_header_bytes);
    if config.max_headers != HYPERS_MAX_HEADERS {
        // Any other number costs each request two allocations.
        builder.http1().max_headers(config.max_headers);
    }
    // Twice what is taken: h2 refuses with a bare status, and `admit` with the envelope.
    let list_size = u32::try_from(config.max_header_bytes.saturating_mul(2)).unwrap_or(u32::MAX);
    builder
        .http2()
        .max_concurrent_streams(config.max_streams)
        .max_header_list_size(list_size)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(Some(100));
    builder
}

/// How long a connection that is to end may go on.
struct Limits {
    /// An idle peer, to go by itself.
    goodbye: Duration,
    /// Other responses, where one of several is not taken.
    rest: Duration,
}

/// Drives a connection; ends it when its phase is over, and drains it at shutdown.
async fn drive<C>(connection: C, activity: &Activity, lingering: &Lingering, limits: Limits) -> Result<(), BoxError>
where
    C: GracefulConnection,
    C::Error: Into<BoxError>,
{
    let Limits { goodbye, rest } = limits;
    let mut connection = pin!(connection);
    let mut timer = pin!(sleep_until(Instant::now()));
    let mut timer_waits = false;
    // Whether the connection was told that it ends.
    let mut is_told = false;
    // Who is to be woken, as all know by now.
    let mut waker: Option<Waker> = None;
    // Counted among those that have been answered, while the server stops.
    let mut answered = None;
    // Until when a peer may answer the goodbye that it was said.
    let mut gone_by = None;
    poll_fn(|cx| {
        let is_known = waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if !is_known {
            waker = Some(cx.waker().clone());
            timer_waits = false;
        }
        let drains = activity.attend(cx.waker(), is_known);
        loop {
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                return Poll::Ready(result.map_err(Into::into));
            }
            if drains {
                // Told of its end, hyper-util would not even look at what the first request is spoken in, nor hyper wait for another. The answer to one that arrives says that it is the last.
                if !is_told && !activity.awaits_request() {
                    is_told = true;
                    connection.as_mut().graceful_shutdown();
                    continue;
                }
            }
            let Some((phase, limit)) = activity.deadline() else {
                answered = None;
                return Poll::Pending;
            };
            // A peer of HTTP/2 has its answers, but for what it has no window for, and goes once it has read our goodbye.
            answered = (drains && phase == Phase::Idle).then(|| answered.take().unwrap_or_else(|| lingering.count()));
            let deadline = gone_by.map_or(limit, |gone_by| limit.max(gone_by));
            if timer.is_elapsed() || timer.deadline() > deadline {
                timer.as_mut().reset(deadline);
                timer_waits = false;
            }
            if !timer_waits {
                // Without a share of the turn, which it could be refused and not have heard.
                timer_waits = pin!(unconstrained(timer.as_mut())).poll(cx).is_pending();
            }
            if timer_waits && !timer.is_elapsed() {
                return Poll::Pending;
            }
            let time = match phase {
                // Set for what is over: there is more time now.
                _ if Instant::now() < deadline => continue,
                Phase::Idle if gone_by.is_some() => return Poll::Ready(Ok(())),
                Phase::Idle => goodbye,
                // The stream, once it is asked for more of the request, says so to the peer.
                Phase::Reading if activity.give_up() => continue,
                // Only the whole connection can be ended from here.
                Phase::Busy if gone_by.is_none() && activity.serves_others() => rest,
                Phase::Busy => return Poll::Ready(Err("the peer takes nothing of a response".into())),
                _ => return Poll::Ready(Err("no request arrived in time".into())),
            };
            connection.as_mut().graceful_shutdown();
            gone_by = Some(Instant::now() + time);
        }
    })
    .await
}

pin_project! {
    /// A response body that marks its request as in flight until it has been sent.
    struct Outgoing<B> {
        #[pin]
        body: B,
        // Of its last frame, what was not given out yet.
        rest: Bytes,
        in_flight: InFlight,
        // Whether its content is left out.
        is_head: bool,
    }
}

/// How much of a response HTTP/2 is given at once: it takes any part as soon as the peer's window has a byte free, and of what waits in
/// it nobody knows whether the peer takes any. A frame on the wire is no larger by default.
const PART: usize = 16 * 1024;

impl<B: Body<Data = Bytes>> Body for Outgoing<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        if *this.is_head {
            return Poll::Ready(None);
        }
        if !this.in_flight.is_multiplexed() {
            return this.body.poll_frame(cx);
        }
        this.in_flight.taken();
        if this.rest.is_empty() {
            let Some(frame) = ready!(this.body.poll_frame(cx)).transpose()? else { return Poll::Ready(None) };
            match frame.into_data() {
                Ok(data) => *this.rest = data,
                Err(trailers) => {
                    this.in_flight.sending(0);
                    return Poll::Ready(Some(Ok(trailers)));
                }
            }
        }
        let part = this.rest.split_to(this.rest.len().min(PART));
        this.in_flight.sending(part.len());
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_head || (self.rest.is_empty() && self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(hint.lower().saturating_add(rest));
        hint
    }
}

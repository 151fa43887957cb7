//! ruststream-lapin, used as well as it can be: typed handlers on several workers, whose acknowledgements lapin writes together,
//! and publishes ahead of their confirms. It publishes without `mandatory`, which it does not offer.

use std::{
    future::poll_fn,
    num::NonZeroU16,
    ops::Range,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use ruststream::{Broker, ConnectedBroker, HeaderMap, OutgoingMessage, Publisher as _};
use ruststream_lapin::{AmqpError, ConfirmsPublisher, prelude::*};

use crate::{
    Arrivals, BenchError, Figures, QueueKind, Setting,
    event::{EXCHANGE, PlainEvent, QUEUE, TRACE_PARENT, TYPE},
};

/// What the load drives.
pub(crate) trait Publisher {
    /// Starts to publish these; waits only for room in the window.
    async fn send(&mut self, numbers: Range<u32>) -> Result<(), BenchError>;

    /// Waits until all that was sent is confirmed. Cancel safe.
    async fn settle(&mut self) -> Result<(), BenchError>;
}

static ARRIVALS: OnceLock<Arc<Arrivals>> = OnceLock::new();

#[subscriber("user.events.user-service", workers(64))]
async fn handle(event: &PlainEvent) -> HandlerOutcome {
    if let Some(arrivals) = ARRIVALS.get() {
        arrivals.record(event.data.number);
    }
    HandlerOutcome::ack()
}

pub(crate) async fn run(setting: &Setting) -> Result<Figures, BenchError> {
    let arrivals = ARRIVALS.get_or_init(|| Arc::new(Arrivals::of(setting.load.total())));
    let prefetch = NonZeroU16::new(setting.prefetch).ok_or("it is zero").map_err(BenchError::refused("prefetch"))?;
    let consuming = LapinBroker::new(&setting.url).prefetch(prefetch).declare_topology(true);
    let topic = || RabbitExchange::topic(EXCHANGE);
    let quorum = setting.queue == QueueKind::Quorum;
    let app = RustStream::new(AppInfo::new("user-service", "0.0.0")).with_broker(consuming, |app| {
        if quorum {
            app.include(handle.map_source(|_| RabbitQuorumQueue::new(QUEUE).bind(topic(), TYPE)));
        } else {
            app.include(handle.map_source(|_| RabbitQueue::new(QUEUE).durable(true).bind(topic(), TYPE)));
        }
    });
    let app = app.start().await.map_err(BenchError::refused("subscribe"))?;
    let publishing = LapinBroker::new(&setting.url).connect().await.map_err(BenchError::refused("connect"))?;
    let publisher = publishing.publisher(LapinPublish::default().exchange(EXCHANGE).confirms());
    let mut publisher = Windowed { publisher, window: setting.window, sent: FuturesUnordered::new() };
    let figures = setting.load.drive(&mut publisher, arrivals).await?;
    drop(publisher);
    app.shutdown().await.map_err(BenchError::refused("stop"))?;
    publishing.shutdown().await.map_err(BenchError::refused("close"))?;
    Ok(figures)
}

type Sent = Pin<Box<dyn Future<Output = Result<(), AmqpError>> + Send>>;

/// Publishes ahead of the confirms, up to the window.
struct Windowed {
    publisher: ConfirmsPublisher,
    window: usize,
    sent: FuturesUnordered<Sent>,
}

async fn publish(publisher: ConfirmsPublisher, number: u32) -> Result<(), AmqpError> {
    let event = PlainEvent::numbered(number);
    // The event is plain data: it always has a JSON.
    let body = serde_json::to_vec(&event).unwrap_or_default();
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json");
    headers.insert("message-id", event.id);
    headers.insert("correlation-id", event.correlation_id);
    headers.insert("kind", "domain");
    headers.insert("traceparent", TRACE_PARENT);
    publisher.publish(OutgoingMessage::new(TYPE, &body).with_headers(headers), None).await
}

impl Windowed {
    fn poll_confirms(&mut self, cx: &mut Context<'_>, keep: usize) -> Poll<Result<(), AmqpError>> {
        while self.sent.len() > keep {
            match self.sent.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(())) | None) => {}
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    async fn confirmed(&mut self, keep: usize) -> Result<(), BenchError> {
        poll_fn(|cx| self.poll_confirms(cx, keep)).await.map_err(BenchError::refused("publish"))
    }
}

impl Publisher for Windowed {
    async fn send(&mut self, numbers: Range<u32>) -> Result<(), BenchError> {
        for number in numbers {
            if self.sent.len() >= self.window {
                self.confirmed(self.window - 1).await?;
            }
            self.sent.push(Box::pin(publish(self.publisher.clone(), number)));
        }
        // The futures begin when they are polled.
        let begun = poll_fn(|cx| match self.poll_confirms(cx, 0) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(())),
        });
        begun.await.map_err(BenchError::refused("publish"))
    }

    async fn settle(&mut self) -> Result<(), BenchError> {
        self.confirmed(0).await
    }
}

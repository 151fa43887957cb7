//! Ours: what a service writes that publishes many events at once.

use std::{
    future::poll_fn,
    ops::Range,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use sap_comm::{
    Event,
    events::{Broker, BrokerConfig, Confirmation, EventRouter, PublishError, Subscription},
};

use super::{BATCH, IN_MEMORY, Publisher};
use crate::{
    Arrivals, BenchError, Figures, Setting, UserCreated,
    event::{EXCHANGE, GROUP, SOURCE},
    setting::QueueKind,
};

const CLOSE_LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn run(setting: &Setting, arrivals: &Arc<Arrivals>) -> Result<Figures, BenchError> {
    let config = BrokerConfig::new(SOURCE).window(setting.window).prefetch(setting.prefetch).queue_capacity(IN_MEMORY);
    let broker = Broker::connect(&setting.url, config).await.map_err(BenchError::refused("connect"))?;
    let seen = Arc::clone(arrivals);
    let router = EventRouter::new().on(move |event: Event<UserCreated>| {
        seen.record(event.data.number);
        async { Ok(()) }
    });
    let subscription = match setting.queue {
        QueueKind::Classic => Subscription::new(EXCHANGE),
        QueueKind::Quorum => Subscription::new(EXCHANGE).quorum(),
    };
    let subscription = broker.subscribe(subscription.group(GROUP), router).await;
    let subscription = subscription.map_err(BenchError::refused("subscribe"))?;

    let mut publisher =
        Windowed { broker: broker.clone(), window: setting.window, sent: FuturesUnordered::new(), unconfirmed: 0 };
    let figures = setting.load.drive(&mut publisher, arrivals).await?;
    subscription.stop().await;
    broker.close(CLOSE_LIMIT).await;
    Ok(figures)
}

type Sent = BoxFuture<'static, Vec<Result<Confirmation, PublishError>>>;

/// Publishes ahead of the confirms, up to the window.
struct Windowed {
    broker: Broker,
    window: usize,
    sent: FuturesUnordered<Sent>,
    unconfirmed: usize,
}

impl Windowed {
    /// Ready once at most `keep` events are not confirmed.
    fn poll_confirms(&mut self, cx: &mut Context<'_>, keep: usize) -> Poll<Result<(), PublishError>> {
        while self.unconfirmed > keep {
            match self.sent.poll_next_unpin(cx) {
                Poll::Ready(Some(outcomes)) => {
                    self.unconfirmed -= outcomes.len();
                    outcomes.into_iter().try_for_each(|outcome| outcome.map(drop))?;
                }
                Poll::Ready(None) => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    async fn confirmed(&mut self, keep: usize) -> Result<(), BenchError> {
        poll_fn(|cx| self.poll_confirms(cx, keep)).await.map_err(BenchError::refused("publish"))
    }

    /// Starts a batch: its future begins when it is polled.
    async fn start(&mut self, numbers: Vec<u32>) -> Result<(), BenchError> {
        self.unconfirmed += numbers.len();
        let broker = self.broker.clone();
        let events = numbers.into_iter().map(UserCreated::numbered);
        self.sent.push(Box::pin(async move { broker.publish_batch(EXCHANGE, events).await }));
        let begun = poll_fn(|cx| match self.poll_confirms(cx, 0) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(())),
        });
        begun.await.map_err(BenchError::refused("publish"))
    }
}

impl Publisher for Windowed {
    async fn send(&mut self, numbers: Range<u32>) -> Result<(), BenchError> {
        if self.window == 1 {
            for number in numbers {
                let published = self.broker.publish(EXCHANGE, UserCreated::numbered(number)).await;
                published.map_err(BenchError::refused("publish"))?;
            }
            return Ok(());
        }
        let mut rest = numbers;
        while !rest.is_empty() {
            let numbers: Vec<u32> = rest.by_ref().take(BATCH.min(self.window)).collect();
            self.confirmed(self.window - numbers.len()).await?;
            self.start(numbers).await?;
        }
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), BenchError> {
        self.confirmed(0).await
    }
}

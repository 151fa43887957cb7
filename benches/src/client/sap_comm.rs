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

use super::Publisher;
use crate::{
    Arrivals, BenchError, Figures, Setting, UserCreated,
    event::{EXCHANGE, GROUP, SOURCE},
    setting::QueueKind,
};

const CLOSE_LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn run(setting: &Setting, arrivals: &Arc<Arrivals>) -> Result<Figures, BenchError> {
    let config = BrokerConfig::new(SOURCE).window(setting.window).prefetch(setting.prefetch);
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

    let mut publisher = Windowed { broker: broker.clone(), window: setting.window, sent: FuturesUnordered::new() };
    let figures = setting.load.drive(&mut publisher, arrivals).await?;
    subscription.stop().await;
    broker.close(CLOSE_LIMIT).await;
    Ok(figures)
}

type Sent = BoxFuture<'static, Result<Confirmation, PublishError>>;

/// Publishes ahead of the confirms, up to the window.
struct Windowed {
    broker: Broker,
    window: usize,
    sent: FuturesUnordered<Sent>,
}

impl Windowed {
    fn poll_confirms(&mut self, cx: &mut Context<'_>, keep: usize) -> Poll<Result<(), PublishError>> {
        while self.sent.len() > keep {
            match self.sent.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(_)) | None) => {}
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
        if self.window == 1 {
            for number in numbers {
                let published = self.broker.publish(EXCHANGE, UserCreated::numbered(number)).await;
                published.map_err(BenchError::refused("publish"))?;
            }
            return Ok(());
        }
        for number in numbers {
            if self.sent.len() >= self.window {
                self.confirmed(self.window - 1).await?;
            }
            let broker = self.broker.clone();
            let publish = async move { broker.publish(EXCHANGE, UserCreated::numbered(number)).await };
            self.sent.push(Box::pin(publish));
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

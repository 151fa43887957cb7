use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream, stream::BoxStream};
use sap_comm_core::{EndpointSet, Resolution, ResolveError};
use tokio::time::{Instant, sleep_until};

use super::{lookup::Lookup, question::Question};
use crate::pace::{Doubts, backoff, jitter};

/// However many hints come, nothing is asked more often.
const LEAST_PAUSE: Duration = Duration::from_secs(1);

struct Watch {
    lookup: Arc<Lookup>,
    question: Question,
    doubts: Doubts,
    asked_at: Option<Instant>,
    pause: Duration,
    failures: u32,
    /// What was told last, unless it was a failure.
    told: Option<Arc<EndpointSet>>,
}

/// Asks for as long as the stream is held, and tells what changes.
pub(super) fn watch(lookup: Arc<Lookup>, doubts: Doubts) -> BoxStream<'static, Resolution> {
    match lookup.question(doubts.service()) {
        Ok(question) => {
            let pause = Duration::ZERO;
            let watch = Watch { lookup, question, doubts, asked_at: None, pause, failures: 0, told: None };
            stream::unfold(watch, |watch| async { Some(watch.next().await) }).boxed()
        }
        Err(reason) => {
            let error = ResolveError { service: doubts.service().to_owned(), reason };
            let answer = Resolution::Unavailable { error, retry_in: Duration::MAX };
            stream::once(async { answer }).chain(stream::pending()).boxed()
        }
    }
}

impl Watch {
    async fn next(mut self) -> (Resolution, Self) {
        loop {
            self.wait().await;
            self.asked_at = Some(Instant::now());
            match self.lookup.ask(&self.question).await {
                Ok(answer) => {
                    self.failures = 0;
                    self.pause = jitter(answer.believe);
                    if self.told.as_deref() != Some(&answer.endpoints) {
                        let set = Arc::new(answer.endpoints);
                        self.told = Some(Arc::clone(&set));
                        return (Resolution::Snapshot(set), self);
                    }
                }
                Err(reason) => {
                    self.pause = backoff(self.failures);
                    self.failures = self.failures.saturating_add(1);
                    self.told = None;
                    let error = ResolveError { service: self.doubts.service().to_owned(), reason };
                    return (Resolution::Unavailable { error, retry_in: self.pause }, self);
                }
            }
        }
    }

    /// Waits until the answer is too old, or somebody doubts it.
    async fn wait(&mut self) {
        let Some(asked_at) = self.asked_at else { return };
        let due = asked_at + self.pause;
        tokio::select! {
            () = sleep_until(due) => {}
            () = self.doubts.next() => sleep_until(due.min(asked_at + LEAST_PAUSE)).await,
        }
    }
}

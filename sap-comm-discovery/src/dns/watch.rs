use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream, stream::BoxStream};
use sap_comm_core::{EndpointSet, Resolution, ResolveError};
use tokio::{
    sync::broadcast,
    time::{Instant, sleep_until},
};

use super::{lookup::Lookup, question::Question};

/// However many hints come, nothing is asked more often.
const LEAST_PAUSE: Duration = Duration::from_secs(1);
/// The first pause after a failure; it doubles up to the longest.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

struct Watch {
    lookup: Arc<Lookup>,
    service: Arc<str>,
    question: Question,
    hints: broadcast::Receiver<Arc<str>>,
    asked_at: Option<Instant>,
    pause: Duration,
    failures: u32,
    /// What was told last, unless it was a failure.
    told: Option<Arc<EndpointSet>>,
}

/// Asks for as long as the stream is held, and tells what changes.
pub(super) fn watch(
    lookup: Arc<Lookup>,
    service: &str,
    hints: broadcast::Receiver<Arc<str>>,
) -> BoxStream<'static, Resolution> {
    match lookup.question(service) {
        Ok(question) => {
            let (service, pause) = (service.into(), Duration::ZERO);
            let watch = Watch { lookup, service, question, hints, asked_at: None, pause, failures: 0, told: None };
            stream::unfold(watch, |watch| async { Some(watch.next().await) }).boxed()
        }
        Err(reason) => {
            let error = ResolveError { service: service.to_owned(), reason };
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
                    self.pause = jitter(backoff(self.failures));
                    self.failures = self.failures.saturating_add(1);
                    self.told = None;
                    let error = ResolveError { service: self.service.to_string(), reason };
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
            () = doubted(&mut self.hints, &self.service) => sleep_until(due.min(asked_at + LEAST_PAUSE)).await,
        }
    }
}

/// Returns once a hint is about this service.
async fn doubted(hints: &mut broadcast::Receiver<Arc<str>>, service: &str) {
    loop {
        match hints.recv().await {
            Ok(hinted) if &*hinted != service => {}
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return,
            // The resolver is gone, and with it whoever could hint.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

fn backoff(failures: u32) -> Duration {
    FIRST_BACKOFF.saturating_mul(1_u32 << failures.min(16)).min(LONGEST_BACKOFF)
}

/// Cuts up to a tenth, so that instances that started together do not ask together.
fn jitter(pause: Duration) -> Duration {
    pause.mul_f64(1.0 - 0.1 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_back_off_to_a_bound() {
        let pauses: Vec<_> = (0..8).map(|failures| backoff(failures).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(backoff(u32::MAX), LONGEST_BACKOFF);
    }
}

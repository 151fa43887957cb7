use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream, stream::BoxStream};
use sap_comm_core::{EndpointSet, Resolution, ResolveError, Resolver};
use tokio::time::{Instant, sleep, sleep_until};

use super::published::{Shared, Status};

/// How long to wait before a watch that ended is begun again.
const REWATCH: Duration = Duration::from_secs(1);

/// Publishes what the resolver says, until aborted.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut answers = answers(Arc::clone(shared.resolver()), shared.service().to_owned());
    let mut doubt = None;
    loop {
        tokio::select! {
            Some(answer) = answers.next() => doubt = take(&shared, answer, doubt),
            () = doubt_ends(doubt) => {
                let doubted = doubt.take();
                end(&shared, doubted);
            }
        }
    }
}

/// A reason to drop the endpoints, and when to.
#[derive(Clone, Copy)]
enum Doubt {
    /// The source cannot be asked.
    Stale(Option<Instant>),
    /// The source says that there is none, which is not believed at once.
    Empty(Option<Instant>),
}

fn take(shared: &Shared, answer: Resolution, doubt: Option<Doubt>) -> Option<Doubt> {
    let service = shared.service();
    match answer {
        Resolution::Snapshot(set) => {
            let grace = shared.config().empty_grace();
            if set.is_empty() && !grace.is_zero() && !shared.published().candidates().is_empty() {
                return Some(match doubt {
                    Some(Doubt::Empty(until)) => Doubt::Empty(until),
                    _ => Doubt::Empty(Instant::now().checked_add(grace)),
                });
            }
            tracing::debug!(service, endpoints = set.as_slice().len(), "service resolved");
            shared.publish_set(&set);
            None
        }
        Resolution::Unavailable { error, retry_in } => {
            tracing::warn!(service, %error, "service cannot be resolved");
            let retry_at = Instant::now().checked_add(retry_in);
            shared.publish_status(Status::Unavailable { error, retry_at });
            let staleness = shared.config().staleness();
            Some(doubt.unwrap_or_else(|| Doubt::Stale(Instant::now().checked_add(staleness))))
        }
    }
}

fn end(shared: &Shared, doubt: Option<Doubt>) {
    match doubt {
        Some(Doubt::Stale(_)) if !shared.published().candidates().is_empty() => {
            tracing::warn!(service = shared.service(), "endpoints dropped: the last answer is too old");
            shared.publish_stale();
        }
        Some(Doubt::Empty(_)) => shared.publish_set(&EndpointSet::default()),
        Some(Doubt::Stale(_)) | None => {}
    }
}

async fn doubt_ends(doubt: Option<Doubt>) {
    match doubt {
        Some(Doubt::Stale(Some(at)) | Doubt::Empty(Some(at))) => sleep_until(at).await,
        _ => std::future::pending().await,
    }
}

/// The answers of `resolver`, begun anew when they end although they never should.
fn answers(resolver: Arc<dyn Resolver>, service: String) -> BoxStream<'static, Resolution> {
    let first = resolver.watch(&service);
    stream::unfold((resolver, service, Some(first)), |(resolver, service, watch)| async move {
        let mut watch = match watch {
            Some(watch) => watch,
            None => {
                sleep(REWATCH).await;
                resolver.watch(&service)
            }
        };
        match watch.next().await {
            Some(answer) => Some((answer, (resolver, service, Some(watch)))),
            None => {
                let error = ResolveError { service: service.clone(), reason: "the resolver's watch ended".into() };
                Some((Resolution::Unavailable { error, retry_in: REWATCH }, (resolver, service, None)))
            }
        }
    })
    .boxed()
}

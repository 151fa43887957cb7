use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, join_all},
};
use parking_lot::{Mutex, RwLock};
use sap_comm_core::BoxError;
use tokio::time::{Instant, timeout};

use super::{CheckStatus, HealthReport};

/// How long one check may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// How long an answer serves further askers: a flood of probes costs one round of checks a second.
const MAX_AGE: Duration = Duration::from_secs(1);

/// The checks of a service. Cheap to clone; clones share them.
///
/// ```
/// use sap_comm_rest::server::HealthRegistry;
///
/// let health = HealthRegistry::new();
/// health.register("database", || async { Ok::<_, std::io::Error>(()) });
/// let router: axum::Router = health.router();
/// ```
#[derive(Clone, Default)]
pub struct HealthRegistry(Arc<Inner>);

#[derive(Default)]
struct Inner {
    checks: RwLock<BTreeMap<String, Check>>,
    draining: AtomicBool,
    round: Mutex<Option<(Instant, Round)>>,
}

type Check = Arc<dyn Fn() -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync>;
type Round = Shared<BoxFuture<'static, BTreeMap<String, CheckStatus>>>;

impl HealthRegistry {
    /// A registry without checks: ready until told otherwise.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check, or replaces the one of that name. It gets two seconds, and runs once a second at most.
    pub fn register<C, F, E>(&self, name: impl Into<String>, check: C)
    where
        C: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let check: Check = Arc::new(move || check().map(|result| result.map_err(Into::into)).boxed());
        self.0.checks.write().insert(name.into(), check);
        *self.0.round.lock() = None;
    }

    /// From now on the service is not ready, so that balancers leave it before it stops to accept.
    pub fn set_draining(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
    }

    /// Asks every check. Callers within a second share one round.
    pub async fn report(&self) -> HealthReport {
        let round = {
            let mut last = self.0.round.lock();
            match &*last {
                Some((begun, round)) if begun.elapsed() < MAX_AGE => round.clone(),
                _ => last.insert((Instant::now(), self.begin())).1.clone(),
            }
        };
        HealthReport::new(self.0.draining.load(Ordering::Relaxed), round.await)
    }

    fn begin(&self) -> Round {
        let checks = self.0.checks.read().clone();
        let all = checks.into_iter().map(|(name, check)| async move {
            let status = ask(&name, check()).await;
            (name, status)
        });
        join_all(all).map(BTreeMap::from_iter).boxed().shared()
    }
}

async fn ask(name: &str, check: BoxFuture<'static, Result<(), BoxError>>) -> CheckStatus {
    match timeout(CHECK_TIMEOUT, check).await {
        Ok(Ok(())) => CheckStatus::Up,
        Ok(Err(error)) => {
            tracing::warn!(check = name, error = &*error, "health check failed");
            CheckStatus::Down
        }
        Err(_) => {
            tracing::warn!(check = name, "health check did not answer");
            CheckStatus::Timeout
        }
    }
}

impl fmt::Debug for HealthRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthRegistry")
            .field("checks", &self.0.checks.read().keys().collect::<Vec<_>>())
            .field("draining", &self.0.draining)
            .finish_non_exhaustive()
    }
}

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use parking_lot::Mutex;
use sap_comm_core::{
    ApiError, ErrorCode,
    auth::{JwtVerifier, KeySet},
};
use tokio::{
    task::AbortHandle,
    time::{Instant, sleep, timeout},
};

use super::{KeyRefreshConfig, KeySource};

/// Keeps a verifier's keys up to date: at first use, on demand within a cool-down, and now and then.
#[derive(Debug)]
pub(super) struct Refresh {
    keys: Arc<Keys>,
    /// Begins with the first request, since a builder may run outside a runtime, and anew where the runtime of that one has ended.
    background: ArcSwapOption<AbortOnDrop>,
}

#[derive(Debug)]
struct AbortOnDrop(AbortHandle);

#[derive(Debug)]
struct Keys {
    source: Arc<dyn KeySource>,
    verifier: JwtVerifier,
    config: KeyRefreshConfig,
    began: Instant,
    /// Milliseconds from `began` to the last fetch that succeeded; looked at by every request.
    fetched: AtomicU64,
    state: Mutex<State>,
}

/// In place of a time, before any fetch has succeeded.
const NEVER: u64 = u64::MAX;

#[derive(Debug, Default)]
struct State {
    tried: Option<Instant>,
    /// The last fetch, and its end.
    running: Option<(AbortHandle, Shared<BoxFuture<'static, ()>>)>,
}

impl Refresh {
    pub(super) fn new(source: Arc<dyn KeySource>, verifier: JwtVerifier, config: KeyRefreshConfig) -> Self {
        let (began, fetched) = (Instant::now(), AtomicU64::new(NEVER));
        let keys = Keys { source, verifier, config, began, fetched, state: Mutex::default() };
        Self { keys: Arc::new(keys), background: ArcSwapOption::empty() }
    }

    /// Waits for the first keys.
    ///
    /// # Errors
    /// 503 while the keys are older than the bound, or there are none yet.
    pub(super) async fn ensure_fresh(&self) -> Result<(), ApiError> {
        if self.background.load().as_ref().is_none_or(|background| background.0.is_finished()) {
            let background = tokio::spawn(keep_fetching(Arc::clone(&self.keys))).abort_handle();
            self.background.store(Some(Arc::new(AbortOnDrop(background))));
        }
        if self.keys.are_fresh() {
            return Ok(());
        }
        self.keys.fetch().await;
        if self.keys.are_fresh() {
            return Ok(());
        }
        let error = ApiError::new(ErrorCode::SERVICE_UNAVAILABLE, "Tokens cannot be verified at the moment");
        Err(error.retry_after(self.keys.config.cool_down))
    }

    /// Fetches, unless that was tried within the cool-down; joins a fetch that is on its way.
    pub(super) async fn fetch_now(&self) {
        self.keys.fetch().await;
    }
}

async fn keep_fetching(keys: Arc<Keys>) {
    loop {
        keys.fetch().await;
        let succeeded = keys.age().is_some_and(|age| age < keys.config.cool_down);
        if !keys.are_fresh() {
            keys.verifier.set_keys(KeySet::empty());
        }
        sleep(if succeeded { keys.config.interval } else { keys.config.cool_down }).await;
    }
}

impl Keys {
    fn are_fresh(&self) -> bool {
        self.age().is_some_and(|age| age <= self.config.max_stale)
    }

    /// How long ago the keys were fetched.
    fn age(&self) -> Option<Duration> {
        let fetched = self.fetched.load(Ordering::Acquire);
        (fetched != NEVER).then(|| self.began.elapsed().saturating_sub(Duration::from_millis(fetched)))
    }

    async fn fetch(self: &Arc<Self>) {
        let cool_down = self.config.cool_down;
        let running = {
            let mut state = self.state.lock();
            let tried = state.tried;
            let tried_within = |time| tried.is_some_and(|at| at.elapsed() < time);
            match &state.running {
                // One that goes on for longer than it may is on a runtime that nobody drives.
                Some((fetch, ended)) if !fetch.is_finished() && tried_within(2 * cool_down) => ended.clone(),
                _ if tried_within(cool_down) => return,
                running => {
                    if let Some((stuck, _)) = running {
                        stuck.abort();
                    }
                    state.tried = Some(Instant::now());
                    // A task of its own: who waits for it may be on another runtime, and on one that ends.
                    let fetch = tokio::spawn(fetch(Arc::clone(&self.source), Arc::downgrade(self), cool_down));
                    let fetching = fetch.abort_handle();
                    let ended = fetch.map(drop).boxed().shared();
                    state.running.insert((fetching, ended)).1.clone()
                }
            }
        };
        // The fetch has the same limit, but where it runs is another's to say.
        let _ended = timeout(cool_down, running).await;
    }
}

/// One fetch, within `limit`.
async fn fetch(source: Arc<dyn KeySource>, keys: Weak<Keys>, limit: Duration) {
    let fetched = timeout(limit, source.fetch()).await;
    let Some(keys) = keys.upgrade() else { return };
    match fetched {
        Ok(Ok(set)) => {
            match set.is_empty() {
                false => tracing::debug!(keys = ?set, "signing keys fetched"),
                true => tracing::warn!(
                    source = ?keys.source,
                    "no signing key can be used, and every token is refused: a key needs an id, and must be public and for signing"
                ),
            }
            keys.verifier.set_keys(set);
            let elapsed = u64::try_from(keys.began.elapsed().as_millis()).unwrap_or(NEVER - 1);
            keys.fetched.store(elapsed, Ordering::Release);
        }
        Ok(Err(error)) => tracing::warn!(error = &error as &dyn std::error::Error, "no newer signing keys"),
        Err(_) => tracing::warn!(source = ?source, "no newer signing keys: the source does not answer"),
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

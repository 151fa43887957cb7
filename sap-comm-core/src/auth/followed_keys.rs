use std::time::Duration;

use tokio::{
    task::AbortHandle,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};

use super::{ApiKeyStore, ApiKeys};
use crate::config::ConfigError;

/// API keys that follow their store, for as long as this lives; see [`ApiKeys::follow`].
#[derive(Debug)]
#[must_use = "dropping it ends the following"]
pub struct FollowedKeys(AbortHandle);

impl FollowedKeys {
    pub(super) fn begin<S: ApiKeyStore + 'static>(keys: ApiKeys<S>, every: Duration) -> Result<Self, ConfigError> {
        if every.is_zero() {
            return Err(ConfigError::refused("every", "0s", "must be above zero"));
        }
        Ok(Self(tokio::spawn(follow(keys, every)).abort_handle()))
    }
}

async fn follow<S: ApiKeyStore>(keys: ApiKeys<S>, every: Duration) {
    // From one beginning to the next, so that what is read is never older than twice that.
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match timeout(every, keys.refresh()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error = &error as &dyn std::error::Error, "API keys were not read again"),
            Err(_) => tracing::warn!("API keys were not read again: the store does not answer"),
        }
    }
}

impl Drop for FollowedKeys {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;
    use tokio::time::sleep;

    use super::*;
    use crate::{
        Timestamp,
        auth::{ApiKey, ApiKeyError, ApiKeyRecord, ApiKeySet},
    };

    const EVERY: Duration = Duration::from_secs(5);

    /// A store that several processes share; clones are the same one.
    #[derive(Debug, Clone, Default)]
    struct Shared(Arc<Mutex<Kept>>);

    #[derive(Debug, Default)]
    struct Kept {
        records: Vec<ApiKeyRecord>,
        fails: bool,
        hangs: bool,
        asked: usize,
    }

    #[async_trait]
    impl ApiKeyStore for Shared {
        async fn insert(&self, record: &ApiKeyRecord) -> Result<(), ApiKeyError> {
            self.0.lock().unwrap().records.push(record.clone());
            Ok(())
        }

        async fn revoke(&self, prefix: &str, at: Timestamp) -> Result<Option<ApiKeyRecord>, ApiKeyError> {
            let mut kept = self.0.lock().unwrap();
            let record = kept.records.iter_mut().find(|record| record.prefix == prefix);
            Ok(record.map(|record| {
                record.revoked_at.get_or_insert(at);
                record.clone()
            }))
        }

        async fn list(&self) -> Result<Vec<ApiKeyRecord>, ApiKeyError> {
            let (hangs, result) = {
                let mut kept = self.0.lock().unwrap();
                kept.asked += 1;
                let failure = kept.fails.then(|| ApiKeyError::store("it is away"));
                (kept.hangs, failure.map_or_else(|| Ok(kept.records.clone()), Err))
            };
            if hangs {
                std::future::pending::<()>().await;
            }
            result
        }
    }

    impl Shared {
        fn troubled(&self, fails: bool, hangs: bool) {
            let mut kept = self.0.lock().unwrap();
            (kept.fails, kept.hangs) = (fails, hangs);
        }
    }

    async fn keys(store: &Shared) -> ApiKeys<Shared> {
        ApiKeys::load(store.clone(), ApiKeySet::default()).await.unwrap()
    }

    fn accepts(keys: &ApiKeys<Shared>, key: &ApiKey) -> bool {
        keys.accepted().verify(key.expose().expose()).is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn what_others_make_and_revoke_is_seen_in_time() {
        let store = Shared::default();
        let (here, there) = (keys(&store).await, keys(&store).await);
        let _following = here.follow(EVERY).unwrap();
        let (key, record) = there.create("report-service", &[]).await.unwrap();
        assert!(!accepts(&here, &key));
        sleep(2 * EVERY).await;
        assert!(accepts(&here, &key));
        there.revoke(&record.prefix).await.unwrap();
        sleep(2 * EVERY).await;
        assert!(!accepts(&here, &key));
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_fails_or_hangs_is_asked_again() {
        let store = Shared::default();
        let (here, there) = (keys(&store).await, keys(&store).await);
        let _following = here.follow(EVERY).unwrap();
        for (fails, hangs) in [(true, false), (false, true)] {
            let (key, record) = there.create("report-service", &[]).await.unwrap();
            sleep(2 * EVERY).await;
            store.troubled(fails, hangs);
            there.revoke(&record.prefix).await.unwrap();
            sleep(2 * EVERY).await;
            assert!(accepts(&here, &key), "nobody can say otherwise");
            store.troubled(false, false);
            sleep(2 * EVERY).await;
            assert!(!accepts(&here, &key));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_asked_once_it_is_dropped() {
        let store = Shared::default();
        let following = keys(&store).await.follow(EVERY).unwrap();
        sleep(3 * EVERY).await;
        drop(following);
        let asked = store.0.lock().unwrap().asked;
        sleep(10 * EVERY).await;
        assert_eq!(store.0.lock().unwrap().asked, asked);
        assert_eq!(Arc::strong_count(&store.0), 1, "the task is gone");
    }

    #[tokio::test]
    async fn no_time_between_two_looks_is_refused() {
        let error = keys(&Shared::default()).await.follow(Duration::ZERO).unwrap_err();
        assert_eq!(error.to_string(), "configuration: `every` = 0s: must be above zero");
    }
}

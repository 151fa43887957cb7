//! The API keys that a service trusts: those that it was given, and those that auth-service keeps.

use std::{sync::Arc, time::Duration};

use sap_comm::{
    ServiceBuilder,
    auth::{ApiKeyRecord, ApiKeySet},
};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    contract::api::LIST_API_KEY_RECORDS,
    deps::{Deps, ISSUER, StartError},
};

/// What auth-service knows is known here within twice as long.
const FOLLOWED_EVERY: Duration = Duration::from_secs(2);
/// How long its keys are trusted while it does not answer: enough to start it again.
const MAX_STALE: Duration = Duration::from_secs(60);

/// How often it may fail to before that is logged.
const PATIENCE: u64 = 3;

/// The API keys that a service trusts. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct TrustedKeys {
    own: Arc<[ApiKeyRecord]>,
    all: ApiKeySet,
}

impl TrustedKeys {
    /// Trusts these, whatever auth-service says, unless it says that one is revoked.
    pub fn new(own: impl IntoIterator<Item = ApiKeyRecord>) -> Self {
        let own: Arc<[_]> = own.into_iter().collect();
        Self { all: ApiKeySet::new(own.iter().cloned()), own }
    }

    /// All of them, for an authenticator.
    #[must_use]
    pub fn all(&self) -> &ApiKeySet {
        &self.all
    }

    /// Trusts what auth-service keeps, too, in place of what it kept before.
    fn replace(&self, kept: impl IntoIterator<Item = ApiKeyRecord>) {
        self.all.replace(self.own.iter().cloned().chain(kept));
    }
}

/// What auth-service said, and when.
struct Told {
    keys: TrustedKeys,
    at: Instant,
    revoked: Vec<ApiKeyRecord>,
    failures: u64,
}

impl Told {
    fn nothing(keys: TrustedKeys) -> Self {
        Self { keys, at: Instant::now(), revoked: Vec::new(), failures: 0 }
    }

    /// Trusts what is said, and for no longer than [`MAX_STALE`] what was said before.
    fn hear(&mut self, now: Instant, said: Result<Vec<ApiKeyRecord>, String>) {
        match said {
            Ok(kept) => {
                self.revoked = kept.iter().filter(|record| record.revoked_at.is_some()).cloned().collect();
                self.keys.replace(kept);
                (self.at, self.failures) = (now, 0);
            }
            Err(error) => {
                self.failures += 1;
                // Once, and not while all start at the same time.
                if self.failures == PATIENCE {
                    tracing::warn!(error, "{ISSUER} does not tell its API keys");
                }
                if now.duration_since(self.at) >= MAX_STALE {
                    self.keys.replace(self.revoked.iter().cloned());
                }
            }
        }
    }
}

/// Trusts what auth-service keeps until the service has drained, where the service has a key to ask it with.
pub(crate) fn following(service: ServiceBuilder, deps: &Deps) -> Result<ServiceBuilder, StartError> {
    let Some(key) = deps.service_key.clone() else { return Ok(service) };
    let auth = deps.client(ISSUER).api_key(key).timeout(FOLLOWED_EVERY).without_retry().build()?;
    let mut told = Told::nothing(deps.trusted_keys.clone());
    let mut ticks = interval(FOLLOWED_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // It ends with the service, should that not start.
    let task = AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            // What was said is as old as the question.
            let now = ticks.tick().await;
            let kept = auth.call(&LIST_API_KEY_RECORDS, ()).await;
            told.hear(now, kept.map(|kept| kept.records).map_err(|error| error.to_string()));
        }
    }));
    Ok(service.on_drain(move || async move {
        drop(task);
        Ok(())
    }))
}

#[cfg(test)]
mod tests {
    use sap_comm::{Timestamp, auth::ApiKey};

    use super::*;

    #[test]
    fn what_auth_service_keeps_is_trusted_for_a_while_when_it_is_away() {
        let (own, kept) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
        let record = |key: &ApiKey| key.record("report-service", ["users:read"]);
        let revoked = |key: &ApiKey| ApiKeyRecord { revoked_at: Some(Timestamp::now()), ..record(key) };
        let keys = TrustedKeys::new([record(&own)]);
        let trusts = |key: &ApiKey| keys.all().verify(key.expose().expose()).is_ok();
        let mut told = Told::nothing(keys.clone());
        let start = told.at;
        let mut hear = |minutes: f64, said: Result<Vec<ApiKeyRecord>, &str>| {
            told.hear(start + MAX_STALE.mul_f64(minutes), said.map_err(str::to_owned));
        };
        hear(2.0, Err("it is away"));
        assert!(trusts(&own) && !trusts(&kept));
        hear(3.0, Ok(vec![record(&kept)]));
        assert!(trusts(&own) && trusts(&kept));
        hear(3.9, Err("it is away"));
        assert!(trusts(&kept), "nobody can say otherwise");
        hear(4.0, Err("it is away"));
        assert!(trusts(&own) && !trusts(&kept));
        hear(5.0, Ok(vec![revoked(&kept), revoked(&own)]));
        assert!(!trusts(&own) && !trusts(&kept));
        hear(7.0, Err("it is away"));
        assert!(!trusts(&own), "what was revoked stays so");
    }
}

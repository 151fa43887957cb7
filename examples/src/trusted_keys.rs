//! The API keys that a service trusts: those that it was given, and those that auth-service keeps.

use std::{collections::HashMap, sync::Arc, time::Duration};

use http::StatusCode;
use sap_comm::{
    ServiceBuilder,
    auth::{ApiKeyRecord, ApiKeySet},
    rest::{
        client::{CallError, ClientError},
        operation::ErrorCodes,
    },
};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    contract::{
        api::{API_KEYS_READ, LIST_API_KEY_RECORDS},
        rest::{ApiKeyRecords, is_reserved},
    },
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

    /// Trusts what auth-service keeps, too, in place of what it kept before. What an operator says of a key counts for more;
    /// but it is revoked where either says so.
    fn replace(&self, kept: &ApiKeyRecords) {
        let revoked: HashMap<_, _> = kept.revoked.iter().map(|key| (&*key.prefix, key.revoked_at)).collect();
        let own = self.own.iter().cloned().map(|record| {
            let revoked_at = record.revoked_at.or_else(|| revoked.get(&*record.prefix).copied());
            ApiKeyRecord { revoked_at, ..record }
        });
        let kept = kept.records.iter().cloned().map(|mut record| {
            record.scopes.retain(|scope| !is_reserved(scope));
            record
        });
        // Of two with one prefix the last counts.
        self.all.replace(kept.chain(own));
    }
}

/// What auth-service said, and when. Dropped, its keys are trusted no longer, since nobody hears of their end.
struct Told {
    keys: TrustedKeys,
    kept: ApiKeyRecords,
    at: Instant,
    failures: u64,
    stale: bool,
    denied: bool,
}

/// Why auth-service does not tell its keys.
enum Untold {
    Denied,
    Failed(String),
}

/// What an operator should know.
#[derive(Debug, PartialEq, Eq)]
enum Notice {
    Denied,
    Failing(String),
    Stale,
    Recovered,
}

impl Told {
    fn nothing(keys: TrustedKeys) -> Self {
        let (kept, at) = (ApiKeyRecords::default(), Instant::now());
        Self { keys, kept, at, failures: 0, stale: false, denied: false }
    }

    /// Trusts what is said, and for no longer than [`MAX_STALE`] what was said before.
    fn hear(&mut self, now: Instant, said: Result<ApiKeyRecords, Untold>) -> Option<Notice> {
        let untold = match said {
            Ok(kept) => {
                self.keys.replace(&kept);
                let missed = self.denied || self.stale || self.failures >= PATIENCE;
                (self.kept, self.at, self.failures, self.stale, self.denied) = (kept, now, 0, false, false);
                return missed.then_some(Notice::Recovered);
            }
            Err(untold) => untold,
        };
        self.failures += 1;
        let became_stale = !self.stale && now.duration_since(self.at) >= MAX_STALE;
        if became_stale {
            self.stale = true;
            self.forget();
        }
        match untold {
            // It is the same for ever, until somebody does something.
            Untold::Denied if self.denied => None,
            Untold::Denied => {
                self.denied = true;
                Some(Notice::Denied)
            }
            Untold::Failed(_) if became_stale => Some(Notice::Stale),
            // Once, and not while all start at the same time.
            Untold::Failed(error) if self.failures == PATIENCE => Some(Notice::Failing(error)),
            Untold::Failed(_) => None,
        }
    }

    /// Trusts no key that auth-service keeps; what it revoked stays so.
    fn forget(&mut self) {
        self.kept.records.clear();
        self.keys.replace(&self.kept);
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.forget();
    }
}

impl Notice {
    fn log(self) {
        match self {
            Self::Denied => tracing::warn!(
                "{ISSUER} does not tell its API keys: the key of this service lacks the scope {API_KEYS_READ}, so \
                 SAP_TRUSTED_KEYS alone is trusted"
            ),
            Self::Failing(error) => tracing::warn!(error, "{ISSUER} does not tell its API keys"),
            Self::Stale => tracing::warn!(
                "{ISSUER} has not told its API keys for {MAX_STALE:?}: they are refused until it does, and SAP_TRUSTED_KEYS alone \
                 is trusted"
            ),
            Self::Recovered => tracing::info!("{ISSUER} tells its API keys again"),
        }
    }
}

impl<E: ErrorCodes> From<CallError<E>> for Untold {
    fn from(error: CallError<E>) -> Self {
        match &error {
            CallError::Other(ClientError::Api(answer)) if answer.status() == StatusCode::FORBIDDEN => Self::Denied,
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// Trusts what auth-service keeps until the service has drained, where the service has a key to ask it with.
pub(crate) fn following(service: ServiceBuilder, deps: &Deps) -> Result<ServiceBuilder, StartError> {
    let Some(key) = deps.service_key.clone() else { return Ok(service) };
    let auth = deps.client(ISSUER).api_key(key).timeout(FOLLOWED_EVERY).deadline(FOLLOWED_EVERY).without_retry();
    let auth = auth.build()?;
    let mut told = Told::nothing(deps.trusted_keys.clone());
    let mut ticks = interval(FOLLOWED_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // It ends with the service, should that not start.
    let task = AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            // What was said is as old as the question.
            let now = ticks.tick().await;
            let said = auth.call(&LIST_API_KEY_RECORDS, ()).await;
            if let Some(notice) = told.hear(now, said.map_err(Untold::from)) {
                notice.log();
            }
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
    use crate::contract::rest::RevokedApiKey;

    fn key() -> ApiKey {
        ApiKey::generate().unwrap()
    }

    fn record(key: &ApiKey) -> ApiKeyRecord {
        key.record("report-service", ["users:read"])
    }

    fn kept<const N: usize>(keys: [&ApiKey; N]) -> ApiKeyRecords {
        ApiKeyRecords { records: keys.map(record).into(), revoked: Vec::new() }
    }

    fn revoked<const N: usize>(keys: [&ApiKey; N]) -> ApiKeyRecords {
        let revoked = keys.map(|key| RevokedApiKey { prefix: record(key).prefix, revoked_at: Timestamp::now() });
        ApiKeyRecords { records: Vec::new(), revoked: revoked.into() }
    }

    fn trusts(keys: &TrustedKeys, key: &ApiKey) -> bool {
        keys.all().verify(key.expose().expose()).is_ok()
    }

    fn away() -> Result<ApiKeyRecords, Untold> {
        Err(Untold::Failed("it is away".to_owned()))
    }

    #[test]
    fn what_auth_service_keeps_is_trusted_for_a_while_when_it_is_away() {
        let (own, other) = (key(), key());
        let keys = TrustedKeys::new([record(&own)]);
        let mut told = Told::nothing(keys.clone());
        let start = told.at;
        let mut hear = |minutes: f64, said| {
            told.hear(start + MAX_STALE.mul_f64(minutes), said);
        };
        hear(2.0, away());
        assert!(trusts(&keys, &own) && !trusts(&keys, &other));
        hear(3.0, Ok(kept([&other])));
        assert!(trusts(&keys, &own) && trusts(&keys, &other));
        hear(3.9, away());
        assert!(trusts(&keys, &other), "nobody can say otherwise");
        hear(4.0, away());
        assert!(trusts(&keys, &own) && !trusts(&keys, &other));
        hear(5.0, Ok(revoked([&other, &own])));
        assert!(!trusts(&keys, &own) && !trusts(&keys, &other));
        hear(7.0, away());
        assert!(!trusts(&keys, &own), "what was revoked stays so");
    }

    #[test]
    fn a_kept_key_has_no_scope_that_operators_alone_give() {
        let minted = key();
        let scopes = ["delegate", "users:read", "credentials:write", "api-keys:read"];
        let keys = TrustedKeys::default();
        keys.replace(&ApiKeyRecords { records: vec![minted.record("report-service", scopes)], ..kept([]) });
        assert_eq!(keys.all().verify(minted.expose().expose()).unwrap().scopes, ["users:read"]);
    }

    #[test]
    fn what_the_operator_says_of_a_key_counts_for_more_and_revoked_by_either_is_revoked() {
        let (given, ended, taken_back) = (key(), key(), key());
        let keys = TrustedKeys::new([
            given.record("operator", ["delegate"]),
            ApiKeyRecord { revoked_at: Some(Timestamp::now()), ..record(&ended) },
            record(&taken_back),
        ]);
        keys.replace(&ApiKeyRecords { revoked: revoked([&taken_back]).revoked, ..kept([&given, &ended]) });
        let principal = keys.all().verify(given.expose().expose()).unwrap();
        assert!(principal.id == "operator" && principal.has_scope("delegate"), "{principal:?}");
        assert!(!trusts(&keys, &ended), "the operator revoked it");
        assert!(!trusts(&keys, &taken_back), "auth-service revoked it");
    }

    #[test]
    fn a_follower_that_ends_leaves_no_kept_key_behind() {
        let (own, other, taken_back) = (key(), key(), key());
        let keys = TrustedKeys::new([record(&own), record(&taken_back)]);
        let mut told = Told::nothing(keys.clone());
        let said = ApiKeyRecords { revoked: revoked([&taken_back]).revoked, ..kept([&other]) };
        told.hear(told.at, Ok(said));
        assert!(trusts(&keys, &other));
        drop(told);
        assert!(trusts(&keys, &own) && !trusts(&keys, &other) && !trusts(&keys, &taken_back));
    }

    #[test]
    fn an_operator_hears_once_of_each_trouble_and_once_of_its_end() {
        let mut told = Told::nothing(TrustedKeys::default());
        let start = told.at;
        let mut hear = |seconds, said| told.hear(start + Duration::from_secs(seconds), said);
        assert_eq!(hear(1, Ok(kept([]))), None);
        for (seconds, notice) in [
            (2, None),
            (3, None),
            (4, Some(Notice::Failing("it is away".to_owned()))),
            (5, None),
            (61, Some(Notice::Stale)),
            (62, None),
            (200, None),
        ] {
            assert_eq!(hear(seconds, away()), notice, "{seconds}");
        }
        assert_eq!(hear(201, Ok(kept([]))), Some(Notice::Recovered));
        assert_eq!(hear(202, Ok(kept([]))), None);
        assert_eq!(hear(203, Err(Untold::Denied)), Some(Notice::Denied));
        for seconds in [204, 300, 3_000] {
            assert_eq!(hear(seconds, Err(Untold::Denied)), None, "{seconds}");
        }
        assert_eq!(hear(3_001, Ok(kept([]))), Some(Notice::Recovered));
    }
}

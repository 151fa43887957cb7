//! One count for several gateways, by a script on Redis and on Redis's clock.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use redis::{
    Client, Script, TlsCertificates,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use sap_comm_core::config::ConfigError;
use tokio::time::{Instant, timeout};

use super::{Allowance, Exhausted, Quota, SharedLimits, WhenAway};
use crate::tls::read_authorities;

/// The generic cell rate algorithm. A key holds when its caller will have its whole quota again (microseconds of Redis's
/// clock), and is gone by then.
const GCRA: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local after = full + interval
local allowed_at = after - interval * burst
if allowed_at > now then
  return {0, 0, allowed_at - now}
end
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000))
return {1, math.floor((now - allowed_at) / interval), after - now}
";

/// How long nobody asks after Redis did not answer.
const COOL_DOWN: Duration = Duration::from_secs(1);

/// Counts on a Redis server.
pub(in crate::gateway) struct Counter {
    connection: ConnectionManager,
    script: Script,
    prefix: String,
    timeout: Duration,
    pub(super) when_away: WhenAway,
    origin: Instant,
    /// Until when Redis counts as away, in milliseconds since the origin.
    away_until: AtomicU64,
}

/// Redis does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Away;

impl Counter {
    /// Connects when something is first counted.
    pub(in crate::gateway) fn new(config: &SharedLimits) -> Result<Self, ConfigError> {
        // Of the error nothing is shown, since the URL may hold a password.
        let refused = |_| ConfigError::new("shared_limits.url", "is no URL of a Redis server that can be used");
        let url = config.url.expose().as_str();
        let client = match &config.ca {
            None => Client::open(url).map_err(refused)?,
            Some(path) => {
                let pem = read_authorities("ca", path).map_err(|error| error.within("shared_limits"))?;
                let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem) };
                Client::build_with_tls(url, certificates).map_err(refused)?
            }
        };
        let has_tls = url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("rediss:"));
        if has_tls && CryptoProvider::get_default().is_none() {
            // The library takes the default of the process. Whoever sets one meanwhile has theirs.
            let _ = aws_lc_rs::default_provider().install_default();
        }
        let manager = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(COOL_DOWN))
            .set_response_timeout(Some(COOL_DOWN));
        Ok(Self {
            connection: ConnectionManager::new_lazy_with_config(client, manager).map_err(refused)?,
            script: Script::new(GCRA),
            prefix: config.prefix.clone(),
            timeout: config.timeout,
            when_away: config.when_away,
            origin: Instant::now(),
            away_until: AtomicU64::new(0),
        })
    }

    /// Counts one request of `caller` under the limit `name`.
    pub(super) async fn take(
        &self,
        name: &str,
        caller: &str,
        quota: &Quota,
    ) -> Result<Result<Allowance, Exhausted>, Away> {
        let now = self.now();
        let until = self.away_until.load(Ordering::Relaxed);
        if now < until {
            return Err(Away);
        }
        // Of those who come after a pause one asks, and the others see how it fares.
        let next = now + millis(COOL_DOWN);
        if until > 0 && self.away_until.compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return Err(Away);
        }
        let interval = u64::try_from(quota.interval().as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX);
        let mut connection = self.connection.clone();
        let key = format!("{}{name}:{caller}", self.prefix);
        let mut call = self.script.key(key);
        call.arg(interval).arg(quota.at_once());
        let counted = timeout(self.timeout, call.invoke_async::<(u8, u32, u64)>(&mut connection)).await;
        let error = match counted {
            Ok(Ok((allowed, remaining, micros))) => {
                if until > 0 {
                    self.away_until.store(0, Ordering::Relaxed);
                    tracing::info!("rate limits are shared again");
                }
                let (limit, reset) = (quota.at_once(), Duration::from_micros(micros));
                return Ok(match allowed {
                    1 => Ok(Allowance { limit, remaining, reset }),
                    _ => Err(Exhausted { limit, retry_after: reset }),
                });
            }
            // A server's words hold no credentials; the kind is enough to act on.
            Ok(Err(error)) => format!("{:?}", error.kind()),
            Err(_) => "no answer in time".to_owned(),
        };
        self.away_until.store(self.now() + millis(COOL_DOWN), Ordering::Relaxed);
        if until == 0 {
            tracing::warn!(error, policy = ?self.when_away, "rate limits are not shared: Redis is away");
        }
        Err(Away)
    }

    fn now(&self) -> u64 {
        millis(self.origin.elapsed())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counter")
            .field("prefix", &self.prefix)
            .field("when_away", &self.when_away)
            .finish_non_exhaustive()
    }
}

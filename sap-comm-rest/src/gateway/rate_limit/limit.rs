use std::{net::IpAddr, sync::Arc};

use sap_comm_core::{Principal, PrincipalKind, config::ConfigError};

#[cfg(feature = "redis")]
use super::WhenAway;
use super::{Allowance, Caller, Counter, Exhausted, Limiter, Quota, network};

/// A quota that each caller has, at this gateway or at all that share it.
#[derive(Debug)]
pub(in crate::gateway) struct RateLimit {
    local: Limiter,
    /// What tells it from the other limits of the gateways that count together.
    name: String,
    shared: Option<Arc<Counter>>,
}

/// Why a request is over no line, and yet not let through; or over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Denied {
    /// The caller has used up its quota.
    Exhausted(Exhausted),
    /// Nobody can count.
    #[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "only a shared count can be away"))]
    Away,
}

impl RateLimit {
    pub(in crate::gateway) fn new(
        field: &str,
        name: String,
        quota: Quota,
        max_callers: usize,
        shared: Option<Arc<Counter>>,
    ) -> Result<Self, ConfigError> {
        Ok(Self { local: Limiter::new(field, quota, max_callers)?, name, shared })
    }

    /// Whether what one counted holds for the other too.
    pub(in crate::gateway) fn counts_like(&self, other: &Self) -> bool {
        let place = |limit: &Self| limit.shared.as_ref().map(Arc::as_ptr);
        self.local.counts_like(&other.local) && self.name == other.name && place(self) == place(other)
    }

    /// Counts one request.
    #[cfg(feature = "redis")]
    pub(in crate::gateway) async fn check(&self, caller: Caller<'_>) -> Result<Option<Allowance>, Denied> {
        let Some(shared) = &self.shared else { return self.check_here(caller) };
        match Box::pin(shared.take(&self.name, &key(caller), self.local.quota())).await {
            Ok(counted) => counted.map(Some).map_err(Denied::Exhausted),
            Err(_) => match shared.when_away {
                WhenAway::Local => self.check_here(caller),
                WhenAway::Open => Ok(None),
                WhenAway::Closed => Err(Denied::Away),
            },
        }
    }

    /// Counts one request.
    #[cfg(not(feature = "redis"))]
    pub(in crate::gateway) async fn check(&self, caller: Caller<'_>) -> Result<Option<Allowance>, Denied> {
        self.check_here(caller)
    }

    fn check_here(&self, caller: Caller<'_>) -> Result<Option<Allowance>, Denied> {
        self.local.check(caller).map(Some).map_err(Denied::Exhausted)
    }
}

/// The same for one caller at every gateway, and short whoever it is.
#[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "only a shared count needs one"))]
fn key(caller: Caller<'_>) -> String {
    match caller {
        Caller::Principal(Principal { id, kind, .. }) => {
            let kind = if *kind == PrincipalKind::User { "user" } else { "service" };
            if id.len() <= 128 { format!("{kind}:{id}") } else { format!("{kind}#{:032x}", fingerprint(id)) }
        }
        Caller::Address(address) => format!("address:{:x}", address.map_or(0, |address: IpAddr| network(address))),
    }
}

/// FNV-1a of 128 bits: names a caller that has a long name, the same in every process.
fn fingerprint(text: &str) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    text.bytes().fold(BASIS, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

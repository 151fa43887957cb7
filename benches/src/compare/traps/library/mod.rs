//! The libraries that are led into the traps, each in the configuration that suits the trap best.

mod failsafe;
mod recloser;
mod sap_comm;
mod sap_comm_layers;
mod tower_resilience;
mod tower_resilience_layers;

use std::{sync::Arc, time::Duration};

use super::{
    breaker::{Breaker, Wish},
    stack::{Budget, HttpService, Stack},
    verdict::{Built, Verdict},
};

/// The lock file of this build.
const LOCK: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock"));

/// A library in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Library {
    SapComm,
    Failsafe,
    Recloser,
    TowerResilience,
}

impl Library {
    pub(super) const PEERS: [Self; 3] = [Self::Failsafe, Self::Recloser, Self::TowerResilience];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SapComm => "sap-comm",
            Self::Failsafe => "failsafe",
            Self::Recloser => "recloser",
            Self::TowerResilience => "tower-resilience",
        }
    }

    pub(super) fn version(self) -> String {
        let name = format!("name = \"{}\"", self.name());
        let version = LOCK.lines().skip_while(|line| *line != name).find_map(|line| line.strip_prefix("version = "));
        version.unwrap_or("?").trim_matches('"').to_owned()
    }

    pub(super) fn breaker(self, wish: &Wish) -> Built<Arc<dyn Breaker>> {
        match self {
            Self::SapComm => sap_comm::breaker(wish),
            Self::Failsafe => failsafe::breaker(wish),
            Self::Recloser => recloser::breaker(wish),
            Self::TowerResilience => tower_resilience::breaker(wish),
        }
    }

    /// Whether it refuses a window that is too short for the buckets it is cut into; none if it has no buckets.
    pub(super) fn refuses_buckets_of_nothing(self) -> Option<bool> {
        match self {
            Self::SapComm => Some(sap_comm::refuses_window_of(Duration::from_millis(5))),
            Self::Failsafe => Some(failsafe::refuses_window_of(Duration::from_millis(4))),
            Self::Recloser | Self::TowerResilience => None,
        }
    }

    /// The stack around `inner`.
    pub(super) fn stack(self, stack: Stack, inner: HttpService) -> Built<HttpService> {
        match self {
            Self::SapComm => sap_comm_layers::stack(stack, inner, None),
            Self::TowerResilience => tower_resilience_layers::stack(stack, inner, None),
            Self::Failsafe | Self::Recloser => Verdict::not_offered("nothing but breakers"),
        }
    }

    /// [`Stack::RetryOverBreaker`] on a budget that holds ten retries at first, and the budget.
    pub(super) fn budgeted(self, stack: Stack, inner: HttpService) -> Built<(HttpService, Arc<dyn Budget>)> {
        match self {
            Self::SapComm => sap_comm_layers::budgeted(stack, inner),
            Self::TowerResilience => tower_resilience_layers::budgeted(stack, inner),
            Self::Failsafe | Self::Recloser => Verdict::not_offered("a retry"),
        }
    }

    /// A budget of 60 retries for 100 calls.
    pub(super) fn sixty_percent(self) -> Built<Arc<dyn Budget>> {
        match self {
            Self::SapComm => sap_comm_layers::sixty_percent(),
            Self::TowerResilience => tower_resilience_layers::sixty_percent(),
            Self::Failsafe | Self::Recloser => Verdict::not_offered("a retry budget"),
        }
    }
}

//! What health reports of the two connections.

use parking_lot::Mutex;
use sap_comm_core::Timestamp;

use crate::{BrokerHealth, BrokerState};

/// Which connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Publish,
    Consume,
}

impl Side {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Publish => "publishing",
            Self::Consume => "consuming",
        }
    }
}

/// The state of both connections, and the last thing that went wrong.
pub(super) struct Vitals(Mutex<Inner>);

struct Inner {
    up: [bool; 2],
    blocked: [Option<String>; 2],
    closed: bool,
    state: BrokerState,
    since: Timestamp,
    last_error: Option<String>,
}

/// Why a publish cannot be taken at once.
pub(super) enum Obstacle {
    Away(String),
    Blocked(String),
}

impl Default for Vitals {
    fn default() -> Self {
        let state = BrokerState::Reconnecting;
        Self(Mutex::new(Inner {
            up: [false; 2],
            blocked: [None, None],
            closed: false,
            state,
            since: Timestamp::now(),
            last_error: None,
        }))
    }
}

impl Vitals {
    pub(super) fn up(&self, side: Side) {
        self.change(|inner| {
            inner.up[side as usize] = true;
            inner.blocked[side as usize] = None;
        });
    }

    pub(super) fn down(&self, side: Side, error: String) {
        self.change(|inner| {
            inner.up[side as usize] = false;
            inner.blocked[side as usize] = None;
            inner.last_error = Some(error);
        });
    }

    pub(super) fn block(&self, side: Side, reason: String) {
        self.change(|inner| {
            inner.last_error = Some(format!("blocked: {reason}"));
            inner.blocked[side as usize] = Some(reason);
        });
    }

    pub(super) fn unblock(&self, side: Side) {
        self.change(|inner| inner.blocked[side as usize] = None);
    }

    pub(super) fn error(&self, error: String) {
        self.change(|inner| inner.last_error = Some(error));
    }

    pub(super) fn close(&self) {
        self.change(|inner| inner.closed = true);
    }

    pub(super) fn last_error(&self) -> Option<String> {
        self.0.lock().last_error.clone()
    }

    /// What stands in the way of publishing now.
    pub(super) fn obstacle(&self) -> Option<Obstacle> {
        let inner = self.0.lock();
        let side = Side::Publish as usize;
        if !inner.up[side] {
            return Some(Obstacle::Away(inner.last_error.clone().unwrap_or_else(|| "not connected".to_owned())));
        }
        inner.blocked[side].clone().map(Obstacle::Blocked)
    }

    pub(super) fn health(&self, pending: usize) -> BrokerHealth {
        let inner = self.0.lock();
        BrokerHealth { state: inner.state, since: inner.since, pending, last_error: inner.last_error.clone() }
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let mut inner = self.0.lock();
        change(&mut inner);
        let state = if inner.closed {
            BrokerState::Closed
        } else if inner.up.contains(&false) {
            BrokerState::Reconnecting
        } else if inner.blocked.iter().any(Option::is_some) {
            BrokerState::Blocked
        } else {
            BrokerState::Connected
        };
        if state != inner.state {
            inner.state = state;
            inner.since = Timestamp::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worse_connection_counts() {
        let vitals = Vitals::default();
        let state = || vitals.health(0).state;
        vitals.up(Side::Publish);
        assert_eq!(state(), BrokerState::Reconnecting);
        vitals.up(Side::Consume);
        assert_eq!(state(), BrokerState::Connected);
        vitals.block(Side::Publish, "low on memory".into());
        assert_eq!(state(), BrokerState::Blocked);
        vitals.down(Side::Publish, "gone".into());
        assert_eq!(state(), BrokerState::Reconnecting);
        vitals.up(Side::Publish);
        assert_eq!((state(), vitals.last_error().as_deref()), (BrokerState::Connected, Some("gone")));
        vitals.close();
        assert_eq!(state(), BrokerState::Closed);
    }
}

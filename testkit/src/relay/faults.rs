//! What a relay does wrong at the moment, and what it counts.

use std::{
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the target.
    ToTarget,
    /// From the target to the client.
    ToClient,
    /// Both ways.
    Both,
}

/// One of the two ways of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    ToTarget,
    ToClient,
}

impl Direction {
    fn has(self, way: Way) -> bool {
        matches!((self, way), (Self::Both, _) | (Self::ToTarget, Way::ToTarget) | (Self::ToClient, Way::ToClient))
    }
}

/// The present state of one way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WayFaults {
    pub(super) frozen: bool,
    /// Counts the orders to half-close: a connection obeys those given during its life.
    pub(super) half_closes: u64,
}

/// The present faults of a relay.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faults {
    to_target: WayFaults,
    to_client: WayFaults,
    /// Counts the orders to reset, like `half_closes`.
    pub(super) resets: u64,
    pub(super) delay: Duration,
    pub(super) bandwidth: Option<NonZeroU64>,
}

impl Faults {
    pub(super) fn of(&self, way: Way) -> WayFaults {
        match way {
            Way::ToTarget => self.to_target,
            Way::ToClient => self.to_client,
        }
    }

    fn ways(&mut self, direction: Direction) -> impl Iterator<Item = &mut WayFaults> {
        [(Way::ToTarget, &mut self.to_target), (Way::ToClient, &mut self.to_client)]
            .into_iter()
            .filter(move |(way, _)| direction.has(*way))
            .map(|(_, faults)| faults)
    }

    pub(super) fn freeze(&mut self, direction: Direction) {
        self.ways(direction).for_each(|way| way.frozen = true);
    }

    pub(super) fn half_close(&mut self, direction: Direction) {
        self.ways(direction).for_each(|way| way.half_closes += 1);
    }

    pub(super) fn heal(&mut self) {
        self.ways(Direction::Both).for_each(|way| way.frozen = false);
        self.delay = Duration::ZERO;
        self.bandwidth = None;
    }
}

/// How many connections there are and were.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    open: Arc<AtomicUsize>,
    accepted: Arc<AtomicU64>,
}

impl Counts {
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    pub(super) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Counts a connection for as long as the returned value lives.
    pub(super) fn enter(&self) -> Open {
        self.accepted.fetch_add(1, Ordering::SeqCst);
        self.open.fetch_add(1, Ordering::SeqCst);
        Open(Arc::clone(&self.open))
    }
}

/// One open connection.
#[derive(Debug)]
pub(super) struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

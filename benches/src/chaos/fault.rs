//! What is broken next, drawn from the seed.

use std::{fmt, time::Duration};

use fastrand::Rng;
use sap_comm_testkit::Direction;

use super::stage::{BREAKABLE, BURSTING, Mode, PARTITIONS, Side};

/// Something that breaks and is mended after a while.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fault {
    NodeKilled { victim: Victim, down: Duration },
    NodeFrozen { victim: Victim, frozen: Duration },
    MemoryAlarm { lasting: Duration },
    Cut { wire: Wire, lasting: Duration },
    Reset { wire: Wire },
    HalfOpen { wire: Wire, way: Direction, lasting: Duration },
    HalfClosed { wire: Wire, way: Direction },
    Delayed { wire: Wire, delay: Duration, lasting: Duration },
    Slow { consumer: usize, each: Duration, lasting: Duration },
    WorkerKilled { worker: usize, down: Duration },
    WorkerFrozen { worker: usize, frozen: Duration },
    Burst { worker: usize, events: u64 },
}

/// Which node, seen from the first queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Victim {
    Leader,
    Follower,
}

/// The relays of one side, of one node or of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wire {
    pub(super) side: Side,
    pub(super) node: Option<usize>,
}

/// Faults of different kinds may happen at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Broker,
    Network,
    Process,
}

/// The faults of a run.
pub(super) struct Draw {
    rng: Rng,
    mode: Mode,
}

impl Draw {
    pub(super) fn new(seed: u64, mode: Mode) -> Self {
        Self { rng: Rng::with_seed(seed), mode }
    }

    /// The pause before the next fault, and that fault; sometimes two at once.
    pub(super) fn next(&mut self) -> (Duration, Vec<Fault>) {
        let pause = self.millis(200..1_500);
        let first = self.fault();
        let mut faults = vec![first];
        if self.rng.u8(..5) == 0 {
            let second = self.fault();
            if second.kind() != faults[0].kind() {
                faults.push(second);
            }
        }
        (pause, faults)
    }

    fn fault(&mut self) -> Fault {
        match self.rng.u8(..20) {
            0..2 => Fault::NodeKilled { victim: self.victim(), down: self.millis(100..2_000) },
            2..4 => Fault::NodeFrozen { victim: self.victim(), frozen: self.millis(1_000..8_000) },
            4 => Fault::MemoryAlarm { lasting: self.millis(500..5_000) },
            5 | 6 => Fault::Cut { wire: self.wire(), lasting: self.millis(100..4_000) },
            7 => Fault::Reset { wire: self.wire() },
            8 | 9 => Fault::HalfOpen { wire: self.wire(), way: self.way(), lasting: self.millis(1_000..9_000) },
            10 => Fault::HalfClosed { wire: self.wire(), way: self.way() },
            11 => {
                let delay = self.millis(20..300);
                Fault::Delayed { wire: self.wire(), delay, lasting: self.millis(1_000..4_000) }
            }
            12 => {
                let consumer = self.rng.usize(..PARTITIONS as usize);
                Fault::Slow { consumer, each: self.millis(10..80), lasting: self.millis(1_000..4_000) }
            }
            13..16 => Fault::WorkerKilled { worker: self.breakable(), down: self.millis(0..2_000) },
            16..18 => Fault::WorkerFrozen { worker: self.breakable(), frozen: self.millis(500..8_000) },
            _ => Fault::Burst { worker: BURSTING, events: self.rng.u64(200..600) },
        }
    }

    fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.u64(range))
    }

    fn victim(&mut self) -> Victim {
        if self.mode == Mode::Cluster && self.rng.bool() { Victim::Follower } else { Victim::Leader }
    }

    fn wire(&mut self) -> Wire {
        let side = if self.rng.bool() { Side::Publishers } else { Side::Consumers };
        let node = (self.mode == Mode::Cluster && self.rng.bool()).then(|| self.rng.usize(..3));
        Wire { side, node }
    }

    fn way(&mut self) -> Direction {
        match self.rng.u8(..3) {
            0 => Direction::ToTarget,
            1 => Direction::ToClient,
            _ => Direction::Both,
        }
    }

    fn breakable(&mut self) -> usize {
        BREAKABLE[self.rng.usize(..BREAKABLE.len())]
    }
}

impl Fault {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::NodeKilled { .. } | Self::NodeFrozen { .. } | Self::MemoryAlarm { .. } => Kind::Broker,
            Self::Cut { .. }
            | Self::Reset { .. }
            | Self::HalfOpen { .. }
            | Self::HalfClosed { .. }
            | Self::Delayed { .. } => Kind::Network,
            Self::Slow { .. } | Self::WorkerKilled { .. } | Self::WorkerFrozen { .. } | Self::Burst { .. } => {
                Kind::Process
            }
        }
    }
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
        })
    }
}

impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Publishers => "publishers'",
            Side::Consumers => "consumers'",
        };
        match self.node {
            Some(node) => write!(f, "{side} connections to node {node}"),
            None => write!(f, "{side} connections"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NodeKilled { victim, down } => write!(f, "broker ({victim}) killed, down for {down:?}"),
            Self::NodeFrozen { victim, frozen } => write!(f, "broker ({victim}) frozen for {frozen:?}"),
            Self::MemoryAlarm { lasting } => write!(f, "memory alarm for {lasting:?}"),
            Self::Cut { wire, lasting } => write!(f, "{wire} cut for {lasting:?}"),
            Self::Reset { wire } => write!(f, "{wire} reset"),
            Self::HalfOpen { wire, way, lasting } => write!(f, "{wire} half-open ({way:?}) for {lasting:?}"),
            Self::HalfClosed { wire, way } => write!(f, "{wire} half-closed ({way:?})"),
            Self::Delayed { wire, delay, lasting } => write!(f, "{wire} delayed by {delay:?} for {lasting:?}"),
            Self::Slow { consumer, each, lasting } => {
                write!(f, "consumer-{consumer} takes {each:?} an event for {lasting:?}")
            }
            Self::WorkerKilled { worker, down } => write!(f, "process {worker} killed, down for {down:?}"),
            Self::WorkerFrozen { worker, frozen } => write!(f, "process {worker} frozen for {frozen:?}"),
            Self::Burst { worker, events } => write!(f, "process {worker} publishes {events} events at once"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_names_its_faults() {
        let faults = |seed| {
            let mut draw = Draw::new(seed, Mode::Cluster);
            (0..50).map(|_| draw.next()).collect::<Vec<_>>()
        };
        assert_eq!(faults(7), faults(7));
        assert_ne!(faults(7), faults(8));
    }
}

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{AdaptiveConcurrencyConfig, ConcurrencyLimited, gradient::Gradient, window::Window};
use crate::{
    Name,
    bulkhead::Place,
    classify::{ErrorRules, Outcome},
    clock::{Clock, nanos},
    random::Dice,
};

/// What the clones of a limit share: slots whose number follows latency.
#[derive(Debug)]
pub(super) struct Slots {
    pub(super) name: Name,
    pub(super) config: AdaptiveConcurrencyConfig,
    pub(super) rules: ErrorRules,
    pub(super) clock: Clock,
    pub(super) free: Semaphore,
    pub(super) queued: AtomicU32,
    pub(super) in_flight: AtomicU32,
    pub(super) dice: Dice,
    pub(super) state: Mutex<State>,
}

/// What changes with the calls. Its lock is held for a few instructions, never across an await.
#[derive(Debug)]
pub(super) struct State {
    pub(super) gradient: Gradient,
    pub(super) window: Window,
    /// The last window's median, in nanoseconds.
    pub(super) latency: Option<u64>,
    /// Slots that exist, and those of them that go when their calls end: the limit fell below the calls in flight.
    slots: u32,
    surplus: u32,
    backed_off_at: u64,
}

impl State {
    pub(super) fn new(config: &AdaptiveConcurrencyConfig) -> Self {
        let slots = config.initial_limit;
        let (gradient, window) = (Gradient::new(config), Window::new());
        Self { gradient, window, latency: None, slots, surplus: 0, backed_off_at: 0 }
    }
}

impl Slots {
    /// Takes a free slot, or waits for one in order.
    pub(super) async fn take(&self) -> Result<(), ConcurrencyLimited> {
        let Err(full) = self.try_take() else { return Ok(()) };
        let place = Place::take(&self.queued, self.config.max_queue).ok_or(full)?;
        let slot = match self.config.max_wait {
            Some(wait) => tokio::time::timeout(wait, self.free.acquire()).await.map_err(|_| self.limited())?,
            None => self.free.acquire().await,
        };
        drop(place);
        slot.map_err(|_| self.limited())?.forget();
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    pub(super) fn try_take(&self) -> Result<(), ConcurrencyLimited> {
        self.free.try_acquire().map_err(|_| self.limited())?.forget();
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// Gives a slot back; `None` when the call was dropped.
    pub(super) fn give_back(&self, began: u64, outcome: Option<Outcome>) {
        let in_flight = self.in_flight.fetch_sub(1, Ordering::AcqRel);
        let mut state = self.state.lock();
        if let Some(outcome) = outcome {
            self.judge(&mut state, began, outcome, in_flight);
        }
        let free = state.resize(&self.free) + state.free_one();
        drop(state);
        // Wakes those who wait, who are other people's code.
        self.free.add_permits(free as usize);
    }

    fn judge(&self, state: &mut State, began: u64, outcome: Outcome, in_flight: u32) {
        let now = self.clock.now();
        let latency = now.saturating_sub(began);
        let measures = match outcome {
            Outcome::Success => true,
            // What fails at once would pass for quick.
            Outcome::Failure => state.gradient.baseline().is_some_and(|baseline| latency > baseline),
            Outcome::Throttled(_) => {
                // Once for all calls that were in flight together.
                if began >= state.backed_off_at {
                    state.gradient.overloaded(&self.config);
                    state.backed_off_at = now;
                    state.window.begin(now);
                    self.tell(state, "overload");
                }
                false
            }
            Outcome::Ignored | Outcome::Rejected => false,
        };
        if !measures || !state.window.covers(began) {
            return;
        }
        state.window.record(latency, in_flight, &self.dice);
        // A round trip at least: what the last change did is not seen sooner.
        let length = nanos(self.config.sampling_window).max(state.latency.unwrap_or_default());
        if state.window.calls() < self.config.minimum_throughput || state.window.age(now) < length {
            return;
        }
        let Some(median) = state.window.median() else { return };
        state.latency = Some(median);
        state.gradient.measured(&self.config, median, state.window.peak(), now, &self.dice);
        state.window.begin(now);
        self.tell(state, "latency");
    }

    fn tell(&self, state: &State, cause: &'static str) {
        let (limit, before) = (state.gradient.limit(), state.slots);
        if limit != before {
            let (latency, baseline) = (state.latency(), state.baseline());
            tracing::debug!(concurrency = %self.name, limit, before, cause, ?latency, ?baseline, "limit moved");
        }
    }

    pub(super) fn limited(&self) -> ConcurrencyLimited {
        let state = self.state.lock();
        ConcurrencyLimited { name: self.name.clone(), limit: state.slots, retry_after: state.latency() }
    }
}

impl State {
    pub(super) fn limit(&self) -> u32 {
        self.slots
    }

    pub(super) fn latency(&self) -> Option<Duration> {
        self.latency.map(Duration::from_nanos)
    }

    pub(super) fn baseline(&self) -> Option<Duration> {
        self.gradient.baseline().map(Duration::from_nanos)
    }

    /// The slot of a call that ended: free again, unless there are too many.
    fn free_one(&mut self) -> u32 {
        let gone = self.surplus.min(1);
        self.surplus -= gone;
        1 - gone
    }

    /// Brings the slots to the limit; how many are to be freed.
    fn resize(&mut self, free: &Semaphore) -> u32 {
        let limit = self.gradient.limit();
        let before = std::mem::replace(&mut self.slots, limit);
        if limit >= before {
            let kept = self.surplus.min(limit - before);
            self.surplus -= kept;
            return limit - before - kept;
        }
        let taken = free.forget_permits((before - limit) as usize) as u32;
        self.surplus += before - limit - taken;
        0
    }
}

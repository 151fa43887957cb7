//! The breaker against a slow and exact oracle, over random histories.

use std::{collections::VecDeque, time::Duration};

use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRunner},
};
use sap_comm_resilience::{CircuitBreaker, OwnedPermit, State};
use tokio::runtime::Runtime;

const BUCKETS: u64 = 5;
const BUCKET: u64 = 100;
/// Calls that a window of calls holds.
const CALLS: usize = 6;
/// Half way round the circle of laps, of eight buckets each, that a counter tells apart; and a little on, so that no
/// sum of such waits ends where it began.
const LONG: u64 = 8 * BUCKET * ((1 << 23) + 5_000);
const RESET: u64 = 1_000;
const LEASE: u64 = 400;
const PROBES: usize = 2;
const SUCCESSES: u32 = 2;
const MINIMUM: usize = 4;

#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Acquire,
    Settle {
        which: usize,
        end: End,
    },
    Isolate,
    Close,
    /// With buckets of another length.
    Reload(u64),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Success,
    Failure,
    Ignore,
    Drop,
}

fn step() -> impl Strategy<Value = Step> {
    let end =
        prop_oneof![3 => Just(End::Success), 4 => Just(End::Failure), 1 => Just(End::Ignore), 1 => Just(End::Drop)];
    prop_oneof![
        2 => prop_oneof![1_u64..150, Just(RESET), Just(10 * RESET), Just(LONG)].prop_map(Step::Wait),
        8 => Just(Step::Acquire),
        8 => (0_usize..8, end).prop_map(|(which, end)| Step::Settle { which, end }),
        1 => prop_oneof![20 => Just(Step::Acquire), 1 => Just(Step::Isolate), 2 => Just(Step::Close),
            8 => prop_oneof![Just(BUCKET), Just(3 * BUCKET)].prop_map(Step::Reload)],
    ]
}

/// The same rules, written down without any cleverness.
#[derive(Debug)]
struct Oracle {
    now: u64,
    /// A window of calls, not of time.
    of_calls: bool,
    bucket: u64,
    state: State,
    generation: u64,
    samples: VecDeque<(u64, bool)>,
    open_until: u64,
    probes: Vec<(u64, u64)>,
    successes: u32,
    next: u64,
}

/// Generation, and the lease of a probe.
type Ticket = (u64, Option<(u64, u64)>);

impl Oracle {
    fn go(&mut self, state: State) {
        self.state = state;
        self.generation += 1;
        self.samples.clear();
        self.probes.clear();
        self.successes = 0;
        self.open_until = self.now + RESET;
    }

    fn acquire(&mut self) -> Option<Ticket> {
        if self.state == State::Open && self.now >= self.open_until {
            self.go(State::HalfOpen);
        }
        match self.state {
            State::Closed => Some((self.generation, None)),
            State::Open | State::Isolated => None,
            State::HalfOpen => {
                self.probes.retain(|(_, expires)| *expires > self.now);
                if self.probes.len() >= PROBES {
                    return None;
                }
                self.next += 1;
                self.probes.push((self.next, self.now + LEASE));
                Some((self.generation, self.probes.last().copied()))
            }
        }
    }

    fn settle(&mut self, (generation, lease): Ticket, end: End) {
        if generation != self.generation {
            return;
        }
        let Some(lease) = lease else {
            return self.count(end);
        };
        let Some(position) = self.probes.iter().position(|held| *held == lease) else { return };
        self.probes.remove(position);
        match end {
            End::Success => {
                self.successes += 1;
                if self.successes == SUCCESSES {
                    self.go(State::Closed);
                }
            }
            End::Failure => self.go(State::Open),
            End::Ignore | End::Drop => {}
        }
    }

    fn count(&mut self, end: End) {
        let failed = match end {
            End::Success => false,
            End::Failure => true,
            End::Ignore | End::Drop => return,
        };
        self.samples.push_back((self.now, failed));
        let (failures, calls) = self.window();
        if failed && calls >= MINIMUM && 2 * failures >= calls {
            self.go(State::Open);
        }
    }

    /// What was counted counts as just happened; in no other state than closed is there anything to take over.
    fn reload(&mut self, bucket: u64) {
        if bucket != self.bucket && !self.of_calls && self.state == State::Closed {
            let oldest = self.oldest();
            self.samples.retain(|(at, _)| at / self.bucket >= oldest);
            self.samples.iter_mut().for_each(|(at, _)| *at = self.now);
            self.generation += 1;
        }
        self.bucket = bucket;
    }

    fn oldest(&self) -> u64 {
        (self.now / self.bucket).saturating_sub(BUCKETS - 1)
    }

    fn window(&self) -> (usize, usize) {
        let gone = if self.of_calls { self.samples.len().saturating_sub(CALLS) } else { 0 };
        let inside = |(at, _): &&(u64, bool)| self.of_calls || at / self.bucket >= self.oldest();
        let inside = self.samples.iter().skip(gone).filter(inside);
        (inside.clone().filter(|(_, failed)| *failed).count(), inside.count())
    }
}

fn check(runtime: &Runtime, of_calls: bool, steps: &[Step]) -> Result<(), TestCaseError> {
    runtime.block_on(async {
        let millis = Duration::from_millis;
        let builder = CircuitBreaker::builder("model");
        let builder = if of_calls { builder.sampling_calls(CALLS as u32) } else { builder };
        let breaker = builder
            .failure_rate(0.5)
            .minimum_throughput(MINIMUM as u32)
            .sampling_window(millis(BUCKET * BUCKETS))
            .sampling_buckets(BUCKETS as u32)
            .reset_timeout(millis(RESET))
            .reset_jitter(0.0)
            .probes(PROBES as u32)
            .probe_successes(SUCCESSES)
            .probe_lease(millis(LEASE))
            .ramp(Duration::ZERO)
            .build()
            .unwrap();
        let mut oracle = Oracle {
            now: 0,
            of_calls,
            bucket: BUCKET,
            state: State::Closed,
            generation: 0,
            samples: VecDeque::new(),
            open_until: 0,
            probes: Vec::new(),
            successes: 0,
            next: 0,
        };
        let mut held: Vec<(OwnedPermit, Ticket)> = Vec::new();
        for step in steps {
            match step {
                Step::Wait(wait) => {
                    tokio::time::advance(millis(*wait)).await;
                    oracle.now += wait;
                }
                Step::Acquire => {
                    let (permit, ticket) = (breaker.try_acquire_owned(), oracle.acquire());
                    prop_assert_eq!(permit.is_ok(), ticket.is_some());
                    held.extend(permit.ok().zip(ticket));
                }
                Step::Settle { which, end } => {
                    if held.is_empty() {
                        continue;
                    }
                    let (permit, ticket) = held.swap_remove(which % held.len());
                    match end {
                        End::Success => permit.success(),
                        End::Failure => permit.failure(),
                        End::Ignore => permit.ignore(),
                        End::Drop => drop(permit),
                    }
                    oracle.settle(ticket, *end);
                }
                Step::Isolate => {
                    breaker.isolate();
                    if oracle.state != State::Isolated {
                        oracle.go(State::Isolated);
                    }
                }
                Step::Close => {
                    breaker.close();
                    oracle.go(State::Closed);
                }
                Step::Reload(bucket) => {
                    let mut config = breaker.config();
                    config.sampling_window = millis(bucket * BUCKETS);
                    breaker.reload(config).unwrap();
                    oracle.reload(*bucket);
                }
            }
            let snapshot = breaker.snapshot();
            prop_assert_eq!((snapshot.state, snapshot.generation), (oracle.state, oracle.generation));
            if oracle.state == State::Closed {
                let (failures, calls) = oracle.window();
                prop_assert_eq!((snapshot.failed, snapshot.succeeded), (failures as u64, (calls - failures) as u64));
            }
        }
        Ok(())
    })
}

#[test]
fn the_breaker_does_what_the_oracle_says() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(10_000);
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        // The default one takes more time in a debug build than breaker and oracle together.
        rng_algorithm: RngAlgorithm::XorShift,
        ..ProptestConfig::default()
    };
    let histories = (any::<bool>(), prop::collection::vec(step(), 1..50));
    TestRunner::new(config).run(&histories, |(of_calls, steps)| check(&runtime, of_calls, &steps)).unwrap();
}

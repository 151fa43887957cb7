//! `compare-breaker`: what a call costs through our breaker and stack and through each peer's, in interleaved rounds of
//! one process.

mod closed;
mod contestant;
mod lanes;
mod open;
mod opossum;
mod stack;

use std::{io::Write, time::Duration};

use self::{
    contestant::Contestant,
    lanes::{Plan, measure},
};
use super::{
    machine,
    row::{Better, Measure, Row},
    write,
};
use crate::BenchError;

const SUBJECT: &str = "breaker";
const CLOSED: &str = "closed-1t";
const CLOSED_BY_TWO: &str = "closed-2t";
const OPEN: &str = "open-1t";
const STACK: &str = "stack-success";

/// How much to compare.
#[derive(Clone, Debug, clap::Args)]
pub struct BreakerOptions {
    /// How many interleaved rounds to take the median of
    #[arg(long, default_value_t = 101, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: u32,
    /// Only these cases, such as `closed-1t`
    #[arg(long = "case", value_name = "CASE", value_parser = [CLOSED, CLOSED_BY_TWO, OPEN, STACK])]
    cases: Vec<String>,
    /// How long each contestant runs in a round, in microseconds
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    slice: u64,
}

/// A breaker's settings, the same for all as far as each has them.
struct Settings;

impl Settings {
    const FAILURE_RATE: f64 = 0.5;
    const WINDOW: Duration = Duration::from_secs(10);
    const MINIMUM: u32 = 10;
    /// So long that an open breaker stays open.
    const RESET: Duration = Duration::from_secs(3600);
    const TIMEOUT: Duration = Duration::from_secs(3);
    const RETRIES: u32 = 3;
    const CONCURRENT: u32 = 64;
}

/// Runs the cases and writes one JSON row a line to `out`; progress goes to stderr.
///
/// # Errors
/// When a component cannot be built, or Node or its packages are missing.
pub fn breaker(options: &BreakerOptions, out: &mut impl Write) -> Result<(), BenchError> {
    let BreakerOptions { rounds, slice, .. } = options;
    eprintln!("{}; median of {rounds} rounds, each contestant for {slice} µs a round, in turns", machine::cores()?);
    machine::warn_of_debug();
    eprintln!(
        "breakers: {} of {:?} failed, at least {} calls; stack: {} retries, timeout {:?}, {} calls at once",
        Settings::FAILURE_RATE,
        Settings::WINDOW,
        Settings::MINIMUM,
        Settings::RETRIES,
        Settings::TIMEOUT,
        Settings::CONCURRENT,
    );
    let plan = Plan { rounds: *rounds, slice: Duration::from_micros(*slice) };
    for (case, threads, contestants) in [
        (CLOSED, 1, closed::contestants as fn(usize) -> Result<Vec<Contestant>, BenchError>),
        (CLOSED_BY_TWO, 2, closed::contestants),
        (OPEN, 1, open::contestants),
        (STACK, 1, stack::contestants),
    ] {
        if options.cases.is_empty() || options.cases.iter().any(|wanted| wanted == case) {
            let contestants = contestants(threads)?;
            write(&rows(case, &contestants, &measure(&contestants, threads, plan)?)?, out)?;
        }
    }
    Ok(())
}

/// Ours, the first contestant, beside each peer.
fn rows(case: &'static str, contestants: &[Contestant], medians: &[f64]) -> Result<Vec<Row>, BenchError> {
    let measure = Measure { subject: SUBJECT, case, metric: "ns_per_call", unit: "ns", better: Better::Lower };
    let figures: Vec<_> = contestants.iter().zip(medians).collect();
    for (contestant, median) in &figures {
        eprintln!("{case:<14}{:<22}{median:>10.1} ns  {}", contestant.name, contestant.how);
    }
    let Some(((_, ours), peers)) = figures.split_first() else { return Ok(Vec::new()) };
    let peers = peers.iter().filter(|(contestant, _)| contestant.is_peer);
    peers.map(|(contestant, theirs)| Row::of(measure, **ours, contestant.name, **theirs)).collect()
}

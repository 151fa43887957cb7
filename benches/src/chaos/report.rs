//! What is printed at the end.

use std::{fmt, time::Duration};

use sap_comm::events::test_util::FindingKind;

use super::{account::Account, memory::Growth, role::Progress};

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    pub(super) seed: u64,
    pub(super) took: Duration,
    pub(super) faults: usize,
    pub(super) account: Account,
    /// Of all workers together.
    pub(super) progress: Progress,
    pub(super) dead: u64,
    /// Who did not get on, and when.
    pub(super) hung: Vec<String>,
    pub(super) crashed: Vec<String>,
    /// From the broker's return, sorted.
    pub(super) broker_recoveries: Vec<Duration>,
    /// From the end of any other fault, sorted.
    pub(super) recoveries: Vec<Duration>,
    pub(super) memory: Vec<Growth>,
}

/// How soon events flow again at most, by the median, once the broker is back.
const SOON: Duration = Duration::from_secs(2);

/// A fault in so many seconds on average, at least.
const LEAST: u64 = 10;

impl Report {
    /// Whether nothing was lost, doubled, reordered, late, hung or grew, and enough was broken to say so.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.account.is_clean()
            && self.faults as u64 >= self.took.as_secs() / LEAST
            && self.hung.is_empty()
            && self.crashed.is_empty()
            && self.dead == 0
            && self.progress.late == 0
            && median(&self.broker_recoveries).is_none_or(|median| median < SOON)
            && self.memory.iter().all(Growth::is_flat)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Account { events, retried, again } = &self.account;
        let Progress { late, failed, refused, .. } = self.progress;
        writeln!(f, "seed                        {}", self.seed)?;
        writeln!(f, "faults                      {} in {:.0?}", self.faults, self.took)?;
        writeln!(f, "events sent                 {} of {} keys", events.sent, events.keys)?;
        writeln!(f, "events confirmed            {}", events.confirmed)?;
        writeln!(f, "events given their effect   {}", events.received)?;
        writeln!(f, "lost of those confirmed     {}", events.lost)?;
        writeln!(f, "duplicates before the inbox {again}")?;
        writeln!(f, "duplicates after the inbox  {}", events.duplicated)?;
        writeln!(f, "reordered within a key      {} of {} keys", events.reordered, events.keys)?;
        writeln!(f, "unexpected                  {}", events.unexpected)?;
        for finding in &events.findings {
            writeln!(f, "    {finding}")?;
        }
        let (received, reordered) = (retried.received, retried.reordered);
        writeln!(
            f,
            "with retries by the ladder  {received} given their effect, {reordered} of them out of order, as they may"
        )?;
        writeln!(f, "    lost {}, duplicates {}, unexpected {}", retried.lost, retried.duplicated, retried.unexpected)?;
        for finding in retried.findings.iter().filter(|finding| finding.kind != FindingKind::Reordered) {
            writeln!(f, "    {finding}")?;
        }
        writeln!(f, "dead letters                {}", self.dead)?;
        writeln!(f, "publishes answered in time  with an error: {failed}, refused by a full queue: {refused}")?;
        writeln!(f, "publishes past the deadline {late}")?;
        writeln!(f, "hung                        {}", Listed(&self.hung))?;
        writeln!(f, "processes that ended        {}", Listed(&self.crashed))?;
        writeln!(f, "recovery after the broker   {}", Spread(&self.broker_recoveries))?;
        writeln!(f, "recovery after the others   {}", Spread(&self.recoveries))?;
        for growth @ Growth { process, warm, end } in &self.memory {
            let verdict = if growth.is_flat() { "flat" } else { "GROWS" };
            writeln!(f, "memory of {process:<17} {warm} KiB warm, {end} KiB at the end: {verdict}")?;
        }
        writeln!(f, "{}", if self.is_clean() { "clean" } else { "NOT CLEAN" })
    }
}

/// A count, and the first few.
struct Listed<'a>(&'a [String]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.len())?;
        for one in self.0.iter().take(20) {
            write!(f, "\n    {one}")?;
        }
        Ok(())
    }
}

fn median(sorted: &[Duration]) -> Option<Duration> {
    sorted.get(sorted.len() / 2).copied()
}

/// Median and maximum of sorted durations.
struct Spread<'a>(&'a [Duration]);

impl fmt::Display for Spread<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (median(self.0), self.0.last()) {
            (Some(median), Some(most)) => {
                write!(f, "median {:.2} s, max {:.2} s, of {}", median.as_secs_f64(), most.as_secs_f64(), self.0.len())
            }
            _ => write!(f, "none"),
        }
    }
}

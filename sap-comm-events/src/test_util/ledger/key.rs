use std::collections::BTreeMap;

use super::report::{FindingKind, Report};

/// The numbers of one key. Only those that are not done with are held.
#[derive(Default)]
pub(super) struct Key {
    /// The first number that was not sent.
    next: u64,
    /// What is neither confirmed and received nor otherwise done with. A number below `next` that is not here came already.
    open: BTreeMap<u64, Entry>,
    /// The highest number that was received.
    highest: Option<u64>,
    /// Confirmed and not received.
    missing: usize,
}

struct Entry {
    outcome: Outcome,
    received: bool,
}

/// What a publisher knows of a number.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It was not sent, so far.
    Unsent,
    /// It was sent, and neither confirmed nor refused.
    Unknown,
    Confirmed,
    Refused,
}

impl Key {
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The key itself, and what is open.
    pub(super) fn held(&self) -> usize {
        1 + self.open.len()
    }

    pub(super) fn missing(&self) -> usize {
        self.missing
    }

    pub(super) fn sent(&mut self, number: u64, report: &mut Report) {
        for unsent in self.next..=number {
            self.open.entry(unsent).or_insert(Entry { outcome: Outcome::Unsent, received: false });
        }
        self.next = self.next.max(number.saturating_add(1));
        if let Some(entry) = self.open.get_mut(&number)
            && entry.outcome == Outcome::Unsent
        {
            entry.outcome = Outcome::Unknown;
            report.sent += 1;
        }
    }

    pub(super) fn confirmed(&mut self, number: u64, report: &mut Report) {
        let Some(entry) = self.open.get_mut(&number) else { return };
        match entry.outcome {
            Outcome::Confirmed | Outcome::Unsent => return,
            Outcome::Refused => report.refused -= 1,
            Outcome::Unknown => {}
        }
        report.confirmed += 1;
        entry.outcome = Outcome::Confirmed;
        if entry.received {
            self.open.remove(&number);
        } else {
            self.missing += 1;
        }
    }

    pub(super) fn refused(&mut self, number: u64, report: &mut Report) {
        if let Some(entry) = self.open.get_mut(&number)
            && entry.outcome == Outcome::Unknown
        {
            report.refused += 1;
            entry.outcome = Outcome::Refused;
        }
    }

    pub(super) fn received(&mut self, name: &str, number: u64, report: &mut Report) {
        match self.open.get_mut(&number) {
            Some(entry) if !entry.received => {
                entry.received = true;
                if entry.outcome == Outcome::Confirmed {
                    self.missing -= 1;
                    self.open.remove(&number);
                }
            }
            // It comes before its own `sent`.
            None if number >= self.next => {
                self.open.insert(number, Entry { outcome: Outcome::Unsent, received: true });
            }
            Some(_) | None => return report.find(FindingKind::Duplicated, name, number),
        }
        if self.highest.is_some_and(|highest| number < highest) {
            report.find(FindingKind::Reordered, name, number);
        }
        self.highest = self.highest.max(Some(number));
    }

    /// Adds what stands open to the report.
    pub(super) fn judge(&self, name: &str, report: &mut Report) {
        for (number, entry) in &self.open {
            match (entry.outcome, entry.received) {
                (Outcome::Confirmed, false) => report.find(FindingKind::Lost, name, *number),
                (Outcome::Refused | Outcome::Unsent, true) => report.find(FindingKind::Unexpected, name, *number),
                (Outcome::Unknown, received) => {
                    report.unknown += 1;
                    report.recovered += u64::from(received);
                }
                (Outcome::Confirmed, true) | (Outcome::Refused | Outcome::Unsent, false) => {}
            }
        }
    }
}

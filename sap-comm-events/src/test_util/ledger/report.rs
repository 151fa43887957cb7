use std::fmt;

use serde::{Deserialize, Serialize};

/// What a [`Ledger`](super::Ledger) found. Writes itself as a few lines of text, and as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Report {
    /// The seed of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Keys that events were sent or received for.
    pub keys: u64,
    /// Events sent.
    pub sent: u64,
    /// Events that the broker confirmed.
    pub confirmed: u64,
    /// Events that the broker surely has not got.
    pub refused: u64,
    /// Events whose publisher never knew.
    pub unknown: u64,
    /// Deliveries, duplicates included.
    pub received: u64,
    /// Confirmed and never received.
    pub lost: u64,
    /// Deliveries of an event that was received before.
    pub duplicated: u64,
    /// Events whose first delivery came after that of a later number of their key.
    pub reordered: u64,
    /// Received, and never sent, or refused by the broker.
    pub unexpected: u64,
    /// Of unknown outcome, and received.
    pub recovered: u64,
    /// The first of the events that were lost, duplicated, reordered or unexpected; 20 of each at most.
    pub findings: Vec<Finding>,
}

/// One event that something is wrong with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What is wrong.
    pub kind: FindingKind,
    /// The event's key.
    pub key: String,
    /// Its number within the key.
    pub number: u64,
}

/// What can be wrong with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FindingKind {
    /// Confirmed and never received.
    Lost,
    /// Received before.
    Duplicated,
    /// Received after a later number of its key.
    Reordered,
    /// Received without having been sent.
    Unexpected,
}

/// More would hide the first.
const MAX_FINDINGS: u64 = 20;

impl Report {
    /// Whether every confirmed event came exactly once and in order, and no other came.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.is_lossless() && self.duplicated == 0 && self.reordered == 0
    }

    /// Whether every confirmed event came at least once, and none that was not sent: what at-least-once delivery promises.
    #[must_use]
    pub fn is_lossless(&self) -> bool {
        self.lost == 0 && self.unexpected == 0
    }

    pub(super) fn find(&mut self, kind: FindingKind, key: &str, number: u64) {
        let count = match kind {
            FindingKind::Lost => &mut self.lost,
            FindingKind::Duplicated => &mut self.duplicated,
            FindingKind::Reordered => &mut self.reordered,
            FindingKind::Unexpected => &mut self.unexpected,
        };
        *count += 1;
        if *count <= MAX_FINDINGS {
            self.findings.push(Finding { kind, key: key.to_owned(), number });
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(seed) = self.seed {
            writeln!(f, "seed {seed}")?;
        }
        let Self { keys, sent, confirmed, refused, unknown, received, .. } = self;
        let Self { lost, duplicated, reordered, unexpected, recovered, .. } = self;
        writeln!(f, "{sent} sent of {keys} keys: {confirmed} confirmed, {refused} refused, {unknown} unknown")?;
        write!(
            f,
            "{received} received: {lost} lost, {duplicated} duplicated, {reordered} reordered, {unexpected} unexpected, {recovered} recovered"
        )?;
        self.findings.iter().try_for_each(|finding| write!(f, "\n  {finding}"))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            FindingKind::Lost => "lost",
            FindingKind::Duplicated => "duplicated",
            FindingKind::Reordered => "reordered",
            FindingKind::Unexpected => "unexpected",
        };
        write!(f, "{kind} {} {}", self.key, self.number)
    }
}

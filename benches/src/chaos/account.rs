//! What was confirmed against what had its effect.

use sap_comm::events::test_util::{Ledger, Report};

use super::{
    role::{self, Fate, Work},
    worker::Worker,
};
use crate::BenchError;

/// What came of all events.
#[derive(Clone, Debug)]
pub(super) struct Account {
    /// Effects of the keys whose events are never retried, which keep their order.
    pub(super) ordered: Report,
    /// Effects of the keys some of whose events are retried: those wait in the ladder while others pass them.
    pub(super) retried: Report,
    /// Deliveries that the inbox knew already.
    pub(super) again: u64,
}

impl Account {
    /// Reads what the workers left.
    pub(super) async fn of(seed: u64, workers: &[Worker]) -> Result<Self, BenchError> {
        let (ordered, retried) = (Ledger::new().seed(seed), Ledger::new().seed(seed));
        let of = |key: &str| if key.contains(".retried.") { &retried } else { &ordered };
        let full = || BenchError::refused("keep account");
        for worker in workers {
            match worker.role.work {
                Work::Publish { .. } => {
                    let fates =
                        role::read_ledger(&worker.role.file("ledger")).map_err(BenchError::refused("read a ledger"))?;
                    for (key, numbers) in &fates {
                        for (&number, fate) in numbers {
                            of(key).sent(key, number).map_err(full())?;
                            match fate {
                                Fate::Confirmed => of(key).confirmed(key, number),
                                Fate::Refused => of(key).refused(key, number),
                                Fate::Sent | Fate::Failed => {}
                            }
                        }
                    }
                }
                Work::Outbox { .. } => {
                    for (key, number) in role::written(&worker.role.file("db")).await? {
                        of(&key).sent(&key, number).map_err(full())?;
                        of(&key).confirmed(&key, number);
                    }
                }
                Work::Consume { .. } => {}
            }
        }
        let mut again = 0;
        for worker in workers.iter().filter(|worker| worker.consumes()) {
            let (effects, known) = role::effects(&worker.role.file("db")).await?;
            again += known;
            for (key, number) in effects {
                of(&key).received(&key, number);
            }
        }
        let (ordered, mut retried) = (ordered.report(), retried.report());
        retried.findings.retain(|finding| finding.kind != sap_comm::events::test_util::FindingKind::Reordered);
        Ok(Self { ordered, retried, again })
    }

    pub(super) fn is_clean(&self) -> bool {
        let Report { duplicated, .. } = self.retried;
        self.ordered.is_clean() && self.retried.is_lossless() && duplicated == 0
    }
}

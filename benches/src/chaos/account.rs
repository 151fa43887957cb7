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
    /// Events and their effects, where order counts.
    pub(super) events: Report,
    /// The same events, where those that fail take the ladder of delays and lose their place.
    pub(super) retried: Report,
    /// Deliveries that the inbox knew already.
    pub(super) again: u64,
}

impl Account {
    /// Reads what the workers left.
    pub(super) async fn of(seed: u64, workers: &[Worker]) -> Result<Self, BenchError> {
        let ledgers = [Ledger::new().seed(seed), Ledger::new().seed(seed)];
        let [in_order, retried] = &ledgers;
        let full = || BenchError::refused("keep account");
        for worker in workers {
            match worker.role.work {
                Work::Publish { .. } => {
                    let fates =
                        role::read_ledger(&worker.role.file("ledger")).map_err(BenchError::refused("read a ledger"))?;
                    for (key, numbers) in &fates {
                        for (&number, fate) in numbers {
                            for ledger in &ledgers {
                                ledger.sent(key, number).map_err(full())?;
                                match fate {
                                    Fate::Confirmed => ledger.confirmed(key, number),
                                    Fate::Refused => ledger.refused(key, number),
                                    Fate::Sent | Fate::Failed => {}
                                }
                            }
                        }
                    }
                }
                Work::Outbox { .. } => {
                    for (key, number) in role::written(&worker.role.file("db")).await? {
                        for ledger in &ledgers {
                            ledger.sent(&key, number).map_err(full())?;
                            ledger.confirmed(&key, number);
                        }
                    }
                }
                Work::Consume { .. } | Work::Audit { .. } => {}
            }
        }
        let mut again = 0;
        for worker in workers.iter().filter(|worker| worker.consumes()) {
            let (effects, known) = role::effects(&worker.role.file("db")).await?;
            again += known;
            let ledger = if matches!(worker.role.work, Work::Audit { .. }) { retried } else { in_order };
            for (key, number) in effects {
                ledger.received(&key, number);
            }
        }
        Ok(Self { events: in_order.report(), retried: retried.report(), again })
    }

    pub(super) fn is_clean(&self) -> bool {
        // Who never takes the ladder keeps the order.
        let took_ladder = self.retried.reordered > 0;
        self.events.is_clean() && self.retried.is_lossless() && self.retried.duplicated == 0 && took_ladder
    }
}

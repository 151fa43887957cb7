//! What tests of a service that uses events need (feature `test-util`).
//!
//! | item | what it is for |
//! | --- | --- |
//! | [`MemoryBroker`] | a broker that tells what was published and handled, and fails on purpose |
//! | [`Faults`] | what fails how often, decided by a seed |
//! | [`Ledger`] | finds events that were lost, came twice or came out of order, under any load and any fault |

mod faults;
mod ledger;
mod memory_broker;
mod recorder;

pub(crate) use faults::{Dice, Failure};
pub use faults::{FaultCounts, Faults};
pub use ledger::{Finding, FindingKind, Ledger, LedgerFull, Report};
pub use memory_broker::{DeadLettered, MemoryBroker, MemoryBrokerBuilder, NotIdle};
pub(crate) use recorder::{Publishing, Recorder, What};

//! What tests of a service that uses events need (feature `test-util`).
//!
//! | item | what it is for |
//! | --- | --- |
//! | [`Ledger`] | finds events that were lost, came twice or came out of order, under any load and any fault |

mod ledger;

pub use ledger::{Finding, FindingKind, Ledger, LedgerFull, Report};

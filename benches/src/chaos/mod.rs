//! Load under seeded faults, and what came of every event.
//!
//! Publishers and consumers are processes of their own, on RabbitMQ nodes behind relays, so that each of them can be
//! killed, frozen and cut off. What they did outlives them: publishers write a ledger, consumers the effects of events
//! into SQLite behind an inbox. After the faults everything drains, and the two are compared.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `role` | what the processes under load do |
//! | `worker` | such a process, seen from outside |
//! | `stage` | nodes, relays and workers |
//! | `fault` | what is broken, drawn from the seed |
//! | `inflict` | breaking and mending it |
//! | `recovery` | how long until events flow again |
//! | `memory` | what the processes weigh |
//! | `account` | what was confirmed against what had its effect |
//! | `report` | what is printed |

mod account;
mod fault;
mod inflict;
mod memory;
mod recovery;
mod report;
mod role;
mod run;
mod stage;
mod worker;

pub use report::Report;
pub use role::Role;
pub use run::{Options, events};
pub use stage::Mode;

use sap_comm::EventPayload;
use serde::{Deserialize, Serialize};

/// The consumer group that keeps the order of each key.
const ORDERED: &str = "chaos";
/// The consumer group whose failed events take the ladder of delays, and lose their place by it.
const RETRIED: &str = "audit";
/// The one delay of the retry ladder.
const RETRY_MS: u64 = 200;

/// One event of a key; numbers count from zero within it.
#[derive(Clone, Debug, Serialize, Deserialize, EventPayload)]
#[event(type = "chaos.step")]
struct Step {
    key: String,
    number: u64,
    /// How many attempts the handler is to fail.
    fails: u32,
}

/// The exchange of a partition, which a queue of each group is bound to.
fn exchange(partition: u32) -> String {
    format!("chaos.{partition}")
}

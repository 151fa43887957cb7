//! Benches of sap-comm, and the peers that it is compared with.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`compare`] | interleaved rounds of ours and the peers, each client in a process of its own |
//! | [`chaos`] | load under seeded faults, and what came of every event |
//! | [`client`] | the clients under measurement |
//! | [`gateway`] | an origin, proxies in front of it, and their load |
//! | [`siege`] | honest requests while others besiege the gateway |
//! | [`Setting`] | what all clients of a case have in common |
//! | [`Arrivals`] | what reached the handler, and when: loss and duplicates end a run |
//! | [`Figures`] | what one run cost |
//! | [`UserCreated`], [`Sized`](event::Sized) | the events that travel |

mod arrivals;
pub mod chaos;
pub mod client;
pub mod compare;
mod cpu;
mod error;
pub mod event;
mod figures;
pub mod gateway;
mod load;
mod setting;
pub mod siege;

pub use arrivals::Arrivals;
pub use cpu::CpuTime;
pub use error::BenchError;
pub use event::UserCreated;
pub use figures::Figures;
pub use load::Load;
pub use setting::{QueueKind, Setting};

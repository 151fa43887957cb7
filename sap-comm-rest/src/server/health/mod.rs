//! Whether a service lives, and whether it can work.

mod registry;
mod report;
mod routes;

pub use registry::HealthRegistry;
pub use report::{CheckStatus, HealthReport};
pub(crate) use routes::is_probe;

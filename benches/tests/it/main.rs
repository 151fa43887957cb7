//! The programs of the benches, as `cargo xtask` runs them.

mod allocation;
mod compare_breaker;
mod chaos_events;
mod compare_events;

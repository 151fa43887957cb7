//! The programs of the benches, as `cargo xtask` runs them.

mod allocation;
mod chaos_events;
mod chaos_gateway;
mod compare_breaker;
mod compare_events;
mod compare_gateway;
mod compare_resilience_traps;

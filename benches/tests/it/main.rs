//! The programs of the benches, as `cargo xtask` runs them.

mod compare_events;

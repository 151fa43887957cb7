//! `cargo xtask compare resilience-traps`: one JSON row a line on stdout, what went wrong on stderr.

use std::process::{ExitCode, exit};

use clap::Parser;
use sap_comm_benches::compare;

/// Leads our breaker and stack, and each peer's, into the same traps
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    options: compare::TrapOptions,
}

fn main() -> ExitCode {
    match compare::traps(&Arguments::parse().options, &mut std::io::stdout()) {
        // A peer that deadlocked still holds its threads.
        Ok(()) => exit(0),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

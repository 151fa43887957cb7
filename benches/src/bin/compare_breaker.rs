//! `cargo xtask compare breaker`: one JSON row a line on stdout, progress on stderr.

use std::process::ExitCode;

use clap::Parser;
use sap_comm_benches::compare;

/// Compares what a circuit breaker, and a stack with one, adds to a call
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    options: compare::BreakerOptions,
}

fn main() -> ExitCode {
    match compare::breaker(&Arguments::parse().options, &mut std::io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

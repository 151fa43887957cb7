//! `cargo xtask chaos gateway`: what honest requests feel while others besiege the gateway.

use std::process::ExitCode;

use clap::Parser;
use sap_comm_benches::{BenchError, gateway::Part, siege};

/// Besieges the gateway with idle and dripping connections and a broken upstream, and times honest requests
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(flatten)]
    options: siege::SiegeOptions,
    #[command(subcommand)]
    part: Option<Part>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.part {
        None => run(&arguments.options).inspect_err(|error| eprintln!("error: {error}")),
        // Whoever started this process keeps its stdout only.
        Some(Part::Play { role }) => role.play().map(|()| true).inspect_err(|error| println!("{error}")),
    };
    if matches!(outcome, Ok(true)) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[tokio::main]
async fn run(options: &siege::SiegeOptions) -> Result<bool, BenchError> {
    let report = siege::gateway(options).await?;
    println!("{report}");
    Ok(report.holds())
}

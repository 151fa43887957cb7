//! `cargo xtask compare gateway`: one JSON row a line on stdout, progress on stderr.

use std::process::ExitCode;

use clap::Parser;
use sap_comm_benches::{BenchError, compare, gateway::Part};

/// nginx and HAProxy have allocators of their own; ours and `hyper-bare` have this one, and `pingora-tuned` one of the same kind.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Compares our gateway with other proxies in front of the same origin
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(flatten)]
    options: compare::GatewayOptions,
    #[command(subcommand)]
    part: Option<Part>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.part {
        None => ended(run(&arguments.options), |error| eprintln!("error: {error}")),
        // Whoever started this process keeps its stdout only.
        Some(Part::Play { role }) => ended(role.play(), |error| println!("{error}")),
    }
}

fn ended(outcome: Result<(), BenchError>, tell: impl Fn(BenchError)) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(error);
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(options: &compare::GatewayOptions) -> Result<(), BenchError> {
    compare::gateway(options, &mut std::io::stdout()).await
}

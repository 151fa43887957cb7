//! `cargo xtask chaos events`: every fault with its time as it happens, then what came of the events.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sap_comm_benches::{
    BenchError,
    chaos::{self, Role},
};

/// Loads RabbitMQ through sap-comm under seeded faults, and counts what was lost, doubled, reordered or hung
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(flatten)]
    options: Option<chaos::Options>,
    #[command(subcommand)]
    task: Option<Task>,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Publishes or consumes in this process, until the run tells it to stop
    #[command(hide = true)]
    Work {
        /// A role as JSON
        #[arg(value_parser = |json: &str| serde_json::from_str::<Role>(json))]
        role: Role,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<ExitCode, BenchError> {
    if let Some(Task::Work { role }) = arguments.task {
        role.run().await?;
        return Ok(ExitCode::SUCCESS);
    }
    let report = chaos::events(&arguments.options.unwrap_or_default()).await?;
    print!("{report}");
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

//! `cargo xtask compare events`: one JSON row a line on stdout, progress on stderr.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sap_comm_benches::{BenchError, Setting, client::Client, compare};

/// What one thread makes and another frees has the system's allocator fight with itself, for ours and for every peer.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Compares events of sap-comm with its peers, on a private RabbitMQ and in memory
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(flatten)]
    options: compare::Options,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Runs one client in this process and prints its figures as JSON
    #[command(hide = true)]
    Client {
        client: Client,
        /// A setting as JSON
        #[arg(value_parser = |json: &str| serde_json::from_str::<Setting>(json))]
        setting: Setting,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), BenchError> {
    match arguments.role {
        None => compare::events(&arguments.options, &mut std::io::stdout()).await,
        Some(Role::Client { client, setting }) => {
            let figures = client.run(&setting).await?;
            let json = serde_json::to_string(&figures).map_err(BenchError::refused("write the figures"))?;
            println!("{json}");
            Ok(())
        }
    }
}

//! Looks after the events of a RabbitMQ: `sap-events --help`.

mod args;
mod dead_letters;
mod failure;
mod output;
mod stop;
mod tail;
mod topology;

use std::{io::IsTerminal, process::ExitCode};

use clap::Parser;
use sap_comm_events::{Broker, BrokerConfig};

use self::{
    args::{Cli, Command, Connection},
    failure::Failure,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .without_time()
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        // What it reports, our errors say in one line.
        .with_env_filter(tracing_subscriber::EnvFilter::new("warn"))
        .init();
    let outcome = match &cli.command {
        Command::DeadLetters(command) => dead_letters::run(&cli.connection, cli.json, command).await,
        Command::Tail(options) => tail::run(&cli.connection, cli.json, options).await,
        Command::Topology(command) => topology::run(&cli.connection, cli.json, command).await,
    };
    match outcome {
        Ok(code) => code,
        // Whoever read our output has seen enough.
        Err(Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.code()
        }
    }
}

/// Enters the broker.
async fn connect(connection: &Connection) -> Result<Broker, Failure> {
    let mut config = BrokerConfig::new("sap-events").connect_timeout(connection.timeout);
    config = config.tls(connection.tls());
    Ok(Broker::connect(connection.url()?, config).await?)
}

//! Ours beside each peer: what `cargo xtask compare` runs.

mod breaker;
mod case;
mod child;
mod gateway;
mod machine;
mod median;
mod metric;
mod row;
mod traps;

use std::io::Write;

use sap_comm_testkit::RabbitNode;

use self::{case::Case, metric::Metric, row::Row};
use crate::BenchError;

pub use self::{
    breaker::{BreakerOptions, breaker},
    gateway::{GatewayOptions, gateway},
    traps::{TrapOptions, traps},
};
pub(crate) use self::{gateway::stage, median::median};

const SUBJECT: &str = "events";

/// How much to compare.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many interleaved rounds to take the median of
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Only these cases, such as `e2e-classic`
    #[arg(long = "case", value_name = "CASE", value_parser = case::NAMES)]
    cases: Vec<String>,
    /// Messages a run on a classic queue; the other cases follow from it
    #[arg(long, default_value_t = 30_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    messages: u32,
    /// Leave out ruststream-lapin, whose program is built first, outside the workspace
    #[arg(long)]
    without_ruststream: bool,
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        self.cases.is_empty() || self.cases.iter().any(|case| case == name)
    }
}

/// Runs the cases and writes one JSON row a line to `out`; progress goes to stderr.
///
/// # Errors
/// When the broker cannot be started, or a client fails, loses an event or gets one twice.
pub async fn events(options: &Options, out: &mut impl Write) -> Result<(), BenchError> {
    machine::describe(options)?;
    if [case::CLASSIC, case::LATENCY, case::QUORUM].iter().any(|name| options.wants(name)) {
        if !options.without_ruststream {
            child::prepare().await;
        }
        let node = RabbitNode::start().await?;
        machine::describe_broker(&node).await?;
        on_rabbitmq(options, &node, out).await?;
    }
    if options.wants(case::MEMORY) {
        let results = Case::memory(options.messages.saturating_mul(10)).run(None, options.rounds).await?;
        write(&results.rows()?, out)?;
    }
    Ok(())
}

async fn on_rabbitmq(options: &Options, node: &RabbitNode, out: &mut impl Write) -> Result<(), BenchError> {
    if options.wants(case::CLASSIC) || options.wants(case::LATENCY) {
        let results = Case::classic(options.messages).run(Some(node), options.rounds).await?;
        if options.wants(case::CLASSIC) {
            write(&results.rows()?, out)?;
        }
        if options.wants(case::LATENCY) {
            let latency = Case::latency(options.messages / 2, results.slowest(Metric::Rate) / 2.0);
            write(&latency.run(Some(node), options.rounds).await?.rows()?, out)?;
        }
    }
    if options.wants(case::QUORUM) {
        let results = Case::quorum(options.messages / 2).run(Some(node), options.rounds).await?;
        write(&results.rows()?, out)?;
    }
    Ok(())
}

fn write(rows: &[Row], out: &mut impl Write) -> Result<(), BenchError> {
    let lines = rows.iter().try_for_each(|row| {
        serde_json::to_writer(&mut *out, row)?;
        writeln!(out)
    });
    lines.and_then(|()| out.flush()).map_err(BenchError::refused("write a row"))
}

use std::{fs, thread::available_parallelism};

use sap_comm::Event;
use sap_comm_testkit::RabbitNode;

use super::Options;
use crate::{BenchError, Load, QueueKind, Setting, UserCreated, event::SOURCE};

/// Prints to stderr what the figures depend on.
pub(super) fn describe(options: &Options) -> Result<(), BenchError> {
    let Options { rounds, messages, .. } = options;
    eprintln!("{}; {rounds} rounds, {messages} messages a run on a classic queue", cores()?);
    warn_of_debug();
    Ok(())
}

/// How many cores there are, and which.
pub(super) fn cores() -> Result<String, BenchError> {
    let cores = available_parallelism().map_err(BenchError::refused("count the cores"))?;
    Ok(format!("{cores} cores ({})", processor()))
}

pub(super) fn warn_of_debug() {
    if cfg!(debug_assertions) {
        eprintln!("This is a debug build: the figures mean nothing.");
    }
}

/// The same for the broker, which shares the cores.
pub(super) async fn describe_broker(node: &RabbitNode) -> Result<(), BenchError> {
    let version = node.eval("rabbit_misc:version()").await?;
    let event = Event::new(SOURCE, UserCreated::numbered(0));
    let size = event.to_json().map_err(BenchError::refused("encode"))?.len();
    let load = Load { warm_up: 0, messages: 0, rate: None };
    let Setting { window, prefetch, ack_every, .. } = Setting::new("", QueueKind::Classic, load);
    eprintln!(
        "RabbitMQ {} on the same cores; events of {size} bytes JSON with `kind` and `traceparent` as headers, \
         persistent, mandatory, confirmed; window {window}, prefetch {prefetch}, one acknowledgement for {ack_every} deliveries",
        version.trim_matches('"'),
    );
    Ok(())
}

fn processor() -> String {
    let known = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = known.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.to_owned())
}

//! `compare-gateway`: what a request costs through our gateway and through each peer, on the same origin and load.

mod case;
mod contestant;
mod figure;
mod pingora;
pub(crate) mod stage;

use std::io::Write;

use self::{
    case::{Case, Results},
    contestant::{Contestant, PEERS},
    figure::Figure,
    stage::Stage,
};
use super::{machine, write};
use crate::{BenchError, gateway::WORKERS};

const SUBJECT: &str = "gateway";
const BARE: &str = "bare";
const FULL: &str = "full-policies";
const HALF: &str = "half-load";
const STREAM: &str = "stream-1gib";
const UPLOAD: &str = "upload-1gib";
/// Connections of the load.
const CONNECTIONS: usize = 64;

/// How much to compare.
#[derive(Clone, Debug, clap::Args)]
pub struct GatewayOptions {
    /// How many interleaved rounds to take the median of
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Only these cases, such as `bare`
    #[arg(long = "case", value_name = "CASE", value_parser = [BARE, FULL, HALF, STREAM, UPLOAD])]
    cases: Vec<String>,
    /// Only these peers, such as `nginx`
    #[arg(long = "peer", value_name = "PEER", value_parser = PEERS)]
    peers: Vec<String>,
    /// How long a run is measured; a third of it more is for warming up
    #[arg(long, default_value_t = 2_000, value_name = "MILLISECONDS", value_parser = clap::value_parser!(u64).range(50..=600_000))]
    millis: u64,
    /// How much is streamed, down and up
    #[arg(long, default_value_t = 1_024, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=65_536))]
    stream: u64,
}

impl GatewayOptions {
    fn wants(&self, case: &str) -> bool {
        self.cases.is_empty() || self.cases.iter().any(|wanted| wanted == case)
    }

    /// Ours, and which of the peers are wanted.
    fn chosen(&self, contestants: &[Contestant]) -> Vec<Contestant> {
        let wanted = |name| self.peers.is_empty() || self.peers.iter().any(|peer| peer == name);
        let chosen = contestants.iter().filter(|contestant| contestant.is_ours() || wanted(contestant.name()));
        chosen.copied().collect()
    }
}

/// Runs the cases and writes one JSON row a line to `out`; progress goes to stderr.
///
/// # Errors
/// When a proxy is missing or cannot be started, or answers with anything but what was asked for; after all rows, when our
/// memory grew with what was streamed.
pub async fn gateway(options: &GatewayOptions, out: &mut impl Write) -> Result<(), BenchError> {
    eprintln!(
        "{}; {} rounds, {} ms a run in turns, {CONNECTIONS} connections; an origin on one thread, proxies with {WORKERS} \
         workers (express: one process), load and all on the same cores; sap-comm, hyper-bare and pingora-tuned are linked as one \
         unit and have mimalloc, pingora has cargo's release profile as it is and the system's allocator; {} MiB streamed",
        machine::cores()?,
        options.rounds,
        options.millis,
        options.stream,
    );
    machine::warn_of_debug();
    let stage = Stage::set().await?;
    let mut maxima = None;
    if options.wants(BARE) {
        let results = Case::closed(BARE, &options.chosen(contestant::BARE), options).run(&stage).await?;
        write(&results.rows()?, out)?;
        maxima = Some(results);
    }
    if options.wants(FULL) {
        let results = Case::closed(FULL, &options.chosen(contestant::FULL), options).run(&stage).await?;
        write(&results.rows()?, out)?;
    }
    if options.wants(HALF) {
        let maxima = match maxima {
            Some(maxima) => maxima,
            None => Case::closed(BARE, &options.chosen(contestant::BARE), options).once().run(&stage).await?,
        };
        // Express would bring the load of all others down to its own.
        for group in [contestant::FAST, contestant::SLOW] {
            let group = options.chosen(group);
            if group.len() > 1 {
                // A load that waits for no answer costs more, and so does each of its requests: what is served of it shows first.
                let most = maxima.slowest(&group, Figure::Rate);
                let served = Case::open(HALF, &group, most, options).once().run(&stage).await?;
                let rate = served.slowest(&group, Figure::Rate) / 2.0;
                eprintln!(
                    "{HALF}: open loop at {rate:.0} req/s, half of what the slowest of these serves of {most:.0}"
                );
                let results = Case::open(HALF, &group, rate, options).run(&stage).await?;
                results.tell_added();
                write(&results.rows()?, out)?;
            }
        }
    }
    let mut streams = Vec::new();
    for case in [
        Case::download(STREAM, &options.chosen(contestant::BARE), options),
        Case::upload(UPLOAD, &options.chosen(contestant::UPLOADS), options),
    ] {
        if options.wants(case.name()) {
            let results = case.run(&stage).await?;
            write(&results.rows()?, out)?;
            write(&results.flat_rows(), out)?;
            streams.push(results);
        }
    }
    streams.iter().try_for_each(Results::require_flat)
}

//! `compare-resilience-traps`: the same small programs lead ours and each peer into the traps of circuit breakers, retries
//! and what stands around them.

mod breaker;
mod isolation;
mod library;
mod opossum;
mod programs;
mod stack;
mod trap;
mod verdict;

use std::{io::Write, thread};

use self::{library::Library, trap::Trap, verdict::Verdict};
use super::{row::Row, write};
use crate::BenchError;

const SUBJECT: &str = "resilience-traps";

/// Which traps to run.
#[derive(Clone, Debug, clap::Args)]
pub struct TrapOptions {
    /// How often to walk into each trap in this process; what fails once has failed
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Only these traps, such as `01-half-open-stampede`
    #[arg(long = "case", value_name = "CASE", value_parser = Trap::ALL.map(Trap::name))]
    cases: Vec<String>,
}

/// What became of every trap with one library.
type Verdicts = Vec<Verdict>;

/// Runs the traps and writes one JSON row a trap and peer to `out`; why one failed goes to stderr.
///
/// # Errors
/// When Node or its packages are missing.
pub fn traps(options: &TrapOptions, out: &mut impl Write) -> Result<(), BenchError> {
    let chosen = |trap: &Trap| options.cases.is_empty() || options.cases.iter().any(|case| case == trap.name());
    let traps: Vec<Trap> = Trap::ALL.into_iter().filter(chosen).collect();
    // What a peer's panic says is part of its verdict.
    std::panic::set_hook(Box::new(|_| ()));
    let once = |trap: Trap, library: Library| {
        let mut verdicts = (0..options.rounds).map(|_| isolation::run(trap, library));
        verdicts.find(|verdict| !verdict.passed()).unwrap_or(Verdict::Passed)
    };
    let once = &once;
    let walk = |library: Library| traps.iter().map(|trap| once(*trap, library)).collect::<Verdicts>();
    let (ours, peers, opossum) = thread::scope(|scope| {
        let peers = Library::PEERS.map(|library| {
            (
                library,
                scope.spawn({
                    let walk = &walk;
                    move || walk(library)
                }),
            )
        });
        let opossum = scope.spawn(|| opossum::verdicts(&traps));
        let ours = walk(Library::SapComm);
        (ours, peers.map(|(library, walking)| (library, walking.join())), opossum.join())
    });
    let mut others = Vec::new();
    for (library, verdicts) in peers {
        let verdicts = verdicts.map_err(|_| BenchError::refused("walk through the traps")(library.name()))?;
        others.push((library.name(), library.version(), verdicts));
    }
    let (version, verdicts) = opossum.map_err(|_| BenchError::refused("walk through the traps")("opossum"))??;
    others.push(("opossum", version, verdicts));
    eprintln!("{}", versions(&others));
    for (index, trap) in traps.iter().enumerate() {
        explain(*trap, "sap-comm", &ours[index]);
        others.iter().for_each(|(name, _, verdicts)| explain(*trap, name, &verdicts[index]));
        let row =
            |(name, _, verdicts): &(&'static str, String, Verdicts)| row(*trap, &ours[index], name, &verdicts[index]);
        let rows: Vec<Row> = others.iter().map(row).collect();
        write(&rows, out)?;
    }
    Ok(())
}

fn row(trap: Trap, ours: &Verdict, peer: &'static str, theirs: &Verdict) -> Row {
    Row::passed(SUBJECT, trap.name(), ours.passed(), peer, theirs.passed(), theirs.note())
}

fn versions(peers: &[(&'static str, String, Verdicts)]) -> String {
    peers.iter().map(|(name, version, _)| format!("{name} {version}")).collect::<Vec<_>>().join(", ")
}

fn explain(trap: Trap, name: &str, verdict: &Verdict) {
    match verdict {
        Verdict::Passed => {}
        Verdict::NotOffered(what) => eprintln!("{:<32}{name:<18}not offered: {what}", trap.name()),
        Verdict::Failed(why) => eprintln!("{:<32}{name:<18}{why}", trap.name()),
    }
}

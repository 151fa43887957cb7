//! A run from the first event to the report.

use std::time::Duration;

use clap::Args;
use futures_util::future::{join_all, try_join_all};
use tokio::time::{Instant, interval, sleep};

use super::{
    Report,
    account::Account,
    fault::{Draw, Kind},
    memory::Memory,
    role::Progress,
    stage::{Mode, Stage},
    worker::Worker,
};
use crate::BenchError;

/// How long the workers may take to begin, and to finish what is under way at the end. A queue of retries whose node was frozen while
/// it moved some on looks every three minutes for what the other queue has not confirmed within three minutes, and moves that anew
/// (RabbitMQ's `dead_letter_worker_publisher_confirm_timeout`).
const PATIENCE: Duration = Duration::from_secs(400);
/// How long queues must be empty: a quorum queue counts what it holds every five seconds.
const STILL: Duration = Duration::from_secs(7);
/// A worker that takes longer to finish shows its last words.
const LONG: Duration = Duration::from_secs(8);
const SAMPLE: Duration = Duration::from_millis(500);

/// What to do.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Seed of the faults
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How long to break things
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,
    /// What the broker is
    #[arg(long, value_enum, default_value_t)]
    pub mode: Mode,
}

impl Default for Options {
    fn default() -> Self {
        Self { seed: 1, seconds: 60, mode: Mode::default() }
    }
}

/// What was seen while things broke.
#[derive(Default)]
struct Log {
    faults: usize,
    hung: Vec<String>,
    crashed: Vec<String>,
    broker_recoveries: Vec<Duration>,
    recoveries: Vec<Duration>,
}

/// Loads RabbitMQ and breaks it, the network and the processes; says on the way what is broken, and returns what came
/// of the events.
///
/// # Errors
/// When a server or a process cannot be started or broken, or what they left cannot be read.
pub async fn events(options: &Options) -> Result<Report, BenchError> {
    let directory = tempfile::tempdir().map_err(BenchError::refused("make a directory"))?;
    println!("seed {}, {} s, {:?}", options.seed, options.seconds, options.mode);
    let stage = Stage::set(options.mode, directory.path()).await?;
    let begun = stage.recovered().await;
    if !begun.hung.is_empty() {
        let logs: Vec<_> = stage.workers.iter().map(|worker| format!("{}: {}", worker.name(), worker.log())).collect();
        return Err(BenchError::Refused { doing: "begin", source: logs.join("\n").into() });
    }
    println!("every process works after {:.1} s", begun.took.as_secs_f64());

    let start = Instant::now();
    let (mut log, mut memory) = (Log::default(), Memory::default());
    tokio::select! {
        broken = breaking(options, &stage, start, &mut log) => broken?,
        () = weighing(&stage, &mut memory) => {}
    }
    let (took, draining) = (start.elapsed(), Instant::now());
    println!("{} draining", Since(start));
    let (consumers, publishers): (Vec<_>, Vec<_>) = stage.workers.iter().partition(|worker| worker.consumes());
    finish(&publishers, start, &mut log).await?;
    let mut empty_since = None;
    let dead = loop {
        let (waiting, dead) = stage.depth().await?;
        if waiting > 0 {
            empty_since = None;
        } else if empty_since.get_or_insert_with(Instant::now).elapsed() >= STILL {
            break dead;
        }
        if draining.elapsed() >= PATIENCE {
            log.hung.push(format!("{waiting} messages wait and nobody takes them"));
            break dead;
        }
        sleep(Duration::from_millis(200)).await;
    };
    finish(&consumers, start, &mut log).await?;
    println!("{} drained within {:.1} s", Since(start), draining.elapsed().as_secs_f64());

    let mut progress = Progress::default();
    for worker in &stage.workers {
        let Progress { late, failed, refused, .. } = worker.progress();
        progress.late += late;
        progress.failed += failed;
        progress.refused += refused;
    }
    let Log { faults, hung, crashed, mut broker_recoveries, mut recoveries } = log;
    broker_recoveries.sort_unstable();
    recoveries.sort_unstable();
    let (seed, account, memory) = (options.seed, Account::of(options.seed, &stage.workers).await?, memory.growth());
    let report =
        Report { seed, took, faults, account, progress, dead, hung, crashed, broker_recoveries, recoveries, memory };
    if !report.is_clean() {
        stage.workers.iter().try_for_each(Worker::keep_log)?;
        println!("what the processes left is kept in {}", directory.keep().display());
    }
    Ok(report)
}

/// Breaks one thing after the other until the time is over.
async fn breaking(options: &Options, stage: &Stage, start: Instant, log: &mut Log) -> Result<(), BenchError> {
    let mut draw = Draw::new(options.seed, options.mode);
    while start.elapsed() < Duration::from_secs(options.seconds) {
        let (pause, faults) = draw.next();
        sleep(pause).await;
        for fault in &faults {
            log.faults += 1;
            println!("{} #{} {fault}", Since(start), log.faults);
        }
        try_join_all(faults.iter().map(|fault| stage.inflict(fault))).await?;
        let recovery = stage.recovered().await;
        println!("{} all work again after {:.2} s", Since(start), recovery.took.as_secs_f64());
        for name in recovery.hung {
            log.hung.push(format!("{name} after #{}", log.faults));
        }
        let of_broker = faults.iter().any(|fault| fault.kind() == Kind::Broker);
        if of_broker { &mut log.broker_recoveries } else { &mut log.recoveries }.push(recovery.took);
        for worker in &stage.workers {
            if let Some(words) = worker.has_crashed().await? {
                log.crashed.push(format!("{} after #{}: {words}", worker.name(), log.faults));
            }
        }
    }
    Ok(())
}

/// Never ends.
async fn weighing(stage: &Stage, memory: &mut Memory) {
    let mut every = interval(SAMPLE);
    loop {
        every.tick().await;
        memory.sample(stage);
    }
}

/// Tells the workers to stop and waits until each has finished what it has.
async fn finish(workers: &[&Worker], start: Instant, log: &mut Log) -> Result<(), BenchError> {
    let finishing = workers.iter().map(|worker| async {
        let asked = Instant::now();
        let finished = worker.finish(PATIENCE).await;
        println!("{} {} has finished", Since(start), worker.name());
        if asked.elapsed() > LONG {
            println!("{}", worker.log());
        }
        finished
    });
    for (worker, finished) in workers.iter().zip(join_all(finishing).await) {
        if !finished? {
            log.hung.push(format!("{} did not finish: {}", worker.name(), worker.log()));
        }
    }
    Ok(())
}

/// Seconds since the start of the run.
struct Since(Instant);

impl std::fmt::Display for Since {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{:7.2}]", self.0.elapsed().as_secs_f64())
    }
}

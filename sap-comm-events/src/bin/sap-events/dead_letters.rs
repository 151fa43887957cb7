//! `sap-events dead-letters …`.

use std::{
    io,
    ops::ControlFlow,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
};

use sap_comm_events::{DeadLetterError, Filter, Progress, Round};
use serde_json::json;

use crate::{
    args::{Connection, DeadLetters, Pace, Selection},
    connect,
    failure::Failure,
    output::{self, Meter},
    stop::Stop,
    topology,
};

pub(crate) async fn run(connection: &Connection, json: bool, command: &DeadLetters) -> Result<ExitCode, Failure> {
    match command {
        DeadLetters::List { queues, topology } => list(connection, json, queues, topology.as_ref()).await,
        DeadLetters::Peek { selection, events } => peek(connection, json, selection, *events).await,
        DeadLetters::Redrive { selection, pace, to_exchange } => {
            redrive(connection, json, selection, pace, to_exchange.as_deref()).await
        }
        DeadLetters::Purge { selection, pace, yes } => purge(connection, json, selection, pace, *yes).await,
    }
}

async fn list(
    connection: &Connection,
    as_json: bool,
    queues: &[String],
    file: Option<&PathBuf>,
) -> Result<ExitCode, Failure> {
    let mut names: Vec<String> = queues.iter().map(|queue| source(queue).to_owned()).collect();
    if let Some(file) = file {
        names.extend(topology::read(file)?.queues_with_dead_letters().map(str::to_owned));
    }
    if names.is_empty() {
        let Some(management) = &connection.management else {
            return Err(Failure::usage("name the queues, or give --topology or --management, which know them"));
        };
        let spec = topology::found(management, connection).await?;
        names.extend(spec.queues_with_dead_letters().map(str::to_owned));
    }
    names.sort_unstable();
    names.dedup();
    let broker = connect(connection).await?;
    let width = names.iter().map(String::len).max().unwrap_or(0).min(255);
    let mut missing = None;
    for name in &names {
        match broker.dead_letters_of(name).count().await {
            Ok(count) if as_json => output::json(&json!({"queue": name, "count": count}))?,
            Ok(count) => output::line(&format!("{:width$}  {count:>8}", output::printable(name)))?,
            Err(error @ DeadLetterError::NoQueue { .. }) => {
                eprintln!("error: {error}");
                missing = Some(error);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(missing.map_or(ExitCode::SUCCESS, |error| Failure::from(error).code()))
}

async fn peek(
    connection: &Connection,
    as_json: bool,
    selection: &Selection,
    events: bool,
) -> Result<ExitCode, Failure> {
    /// What is shown unless more is asked for.
    const SHOWN: usize = 20;
    let broker = connect(connection).await?;
    let failed = Arc::new(Mutex::new(None::<io::Error>));
    let (note, check) = (Arc::clone(&failed), Arc::clone(&failed));
    let round = round(selection).limit(selection.limit.unwrap_or(SHOWN)).dry_run().on_letter(move |letter| {
        let printed = if as_json {
            output::json(letter)
        } else {
            output::line(&output::letter(letter)).and_then(|()| match events {
                true => output::line(&output::printable(&String::from_utf8_lossy(&letter.event))),
                false => Ok(()),
            })
        };
        if let Err(error) = printed {
            note.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    });
    let round = round.on_progress(move |_| match *check.lock().unwrap_or_else(PoisonError::into_inner) {
        Some(_) => ControlFlow::Break(()),
        None => ControlFlow::Continue(()),
    });
    let progress = broker.dead_letters_of(source(&selection.queue)).redrive(round).await?;
    if let Some(error) = failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(error.into());
    }
    if !as_json {
        eprintln!("{} shown, {} of {} seen", progress.matched, progress.seen, progress.total);
    }
    Ok(ExitCode::SUCCESS)
}

async fn redrive(
    connection: &Connection,
    as_json: bool,
    selection: &Selection,
    pace: &Pace,
    to_exchange: Option<&str>,
) -> Result<ExitCode, Failure> {
    let broker = connect(connection).await?;
    let letters = broker.dead_letters_of(source(&selection.queue));
    let watched = Watched::new(selection, pace)?;
    let outcome = match to_exchange {
        Some(exchange) => letters.redrive_to_exchange(exchange, watched.round).await,
        None => letters.redrive(watched.round).await,
    };
    report(as_json, "sent back", pace.dry_run, &watched.last, outcome)
}

async fn purge(
    connection: &Connection,
    as_json: bool,
    selection: &Selection,
    pace: &Pace,
    yes: bool,
) -> Result<ExitCode, Failure> {
    if !yes && !pace.dry_run {
        return Err(Failure::usage(
            "a purge removes dead letters for good: confirm with --yes, or look with --dry-run",
        ));
    }
    let broker = connect(connection).await?;
    let letters = broker.dead_letters_of(source(&selection.queue));
    let watched = Watched::new(selection, pace)?;
    let outcome = letters.purge(watched.round).await;
    report(as_json, "removed", pace.dry_run, &watched.last, outcome)
}

/// A round that shows its progress and ends when it is asked to.
struct Watched {
    round: Round,
    last: Arc<Mutex<Progress>>,
}

impl Watched {
    fn new(selection: &Selection, pace: &Pace) -> Result<Self, Failure> {
        let mut round = round(selection);
        if let Some(rate) = pace.rate {
            round = round.rate(rate);
        }
        if pace.dry_run {
            round = round.dry_run();
        }
        let (stop, mut meter, last) = (Stop::listen()?, Meter::new(pace.quiet), Arc::<Mutex<Progress>>::default());
        let seen = Arc::clone(&last);
        let round = round.on_progress(move |progress| {
            meter.show(progress);
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = *progress;
            match stop.flag().load(Ordering::SeqCst) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        Ok(Self { round, last })
    }
}

fn report(
    as_json: bool,
    done: &str,
    dry_run: bool,
    last: &Mutex<Progress>,
    outcome: Result<Progress, DeadLetterError>,
) -> Result<ExitCode, Failure> {
    let last = *last.lock().unwrap_or_else(PoisonError::into_inner);
    let progress = *outcome.as_ref().unwrap_or(&last);
    if as_json {
        output::json(&progress)?;
    } else {
        let Progress { total, seen, matched, .. } = progress;
        let (count, would) = if dry_run { (matched, "would be ") } else { (progress.done, "") };
        output::line(&format!("{count} {would}{done}; {matched} match, {seen} of {total} seen"))?;
    }
    outcome?;
    Ok(ExitCode::SUCCESS)
}

/// The queue that dead letters come from, named by itself or by its queue of dead letters.
fn source(queue: &str) -> &str {
    queue.strip_suffix(".dead").unwrap_or(queue)
}

fn round(selection: &Selection) -> Round {
    let mut filter = Filter::new();
    for pattern in &selection.types {
        filter = filter.event_type(pattern);
    }
    for source in &selection.sources {
        filter = filter.source(source);
    }
    for code in &selection.codes {
        filter = filter.code(code);
    }
    for id in &selection.ids {
        filter = filter.id(id);
    }
    if let Some(age) = selection.older_than {
        filter = filter.older_than(age);
    }
    if let Some(age) = selection.younger_than {
        filter = filter.younger_than(age);
    }
    let round = Round::new().filter(filter);
    match selection.limit {
        Some(limit) => round.limit(limit),
        None => round,
    }
}

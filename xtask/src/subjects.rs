//! `cargo xtask compare` and `cargo xtask chaos`: programs of the benches, found by their names.

use clap::Args;

use crate::{command::Run, error::TaskError, metadata::Metadata, rows, setup};

const PACKAGE: &str = "sap-comm-benches";

#[derive(Args, Debug)]
pub(crate) struct Compare {
    /// What to compare, such as `events`; everything when left out
    subject: Option<String>,
    /// Print one JSON object a row instead of a table
    #[arg(long)]
    json: bool,
    /// How many interleaved rounds to take the median of
    #[arg(long)]
    rounds: Option<u32>,
    /// What the subject's own program is told besides
    #[arg(last = true, requires = "subject")]
    args: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Chaos {
    /// What to put under load
    subject: String,
    /// Seed of load and faults: the same seed gives the same run
    #[arg(long)]
    seed: u64,
    /// How long to keep at it
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Which of the subject's settings, such as `cluster`; its usual one when left out
    #[arg(long)]
    mode: Option<String>,
    /// What the subject's own program is told besides
    #[arg(last = true)]
    args: Vec<String>,
}

/// Runs each subject's program and prints its figures.
pub(crate) fn compare(options: &Compare) -> Result<(), TaskError> {
    let known = known("compare")?;
    let chosen = match &options.subject {
        Some(subject) => vec![find("subject to compare", subject, &known)?],
        None if known.is_empty() => return Err(unknown("subject to compare", "(any)", &known)),
        None => known.iter().map(String::as_str).collect(),
    };
    setup::prepare_to_compare(&chosen)?;
    let rounds = options.rounds.map(|rounds| ["--rounds".to_owned(), rounds.to_string()]);
    let mut all = Vec::new();
    for subject in chosen {
        let output = program("compare", subject).args(rounds.iter().flatten()).args(&options.args).capture_stdout()?;
        let rows = rows::parse(&output)?;
        if options.json {
            rows.iter().for_each(|row| println!("{row}"));
        }
        all.extend(rows);
    }
    if !options.json {
        print!("{}", rows::table(&all));
    }
    Ok(())
}

/// Runs the subject's program, which prints what it counted and fails when something was lost.
pub(crate) fn chaos(options: &Chaos) -> Result<(), TaskError> {
    let known = known("chaos")?;
    let subject = find("subject of chaos", &options.subject, &known)?;
    setup::prepare()?;
    let (seed, seconds) = (options.seed.to_string(), options.seconds.to_string());
    let mode = options.mode.iter().flat_map(|mode| ["--mode", mode]);
    program("chaos", subject).args(["--seed", &seed, "--seconds", &seconds]).args(mode).args(&options.args).show()
}

fn program(kind: &str, subject: &str) -> Run {
    let name = format!("{kind}-{subject}");
    Run::cargo().args(["run", "--quiet", "--release", "--package", PACKAGE, "--bin", &name, "--"])
}

/// The subjects for which the benches have a program `<kind>-<subject>`.
fn known(kind: &str) -> Result<Vec<String>, TaskError> {
    let metadata = Metadata::load()?;
    let benches = metadata.members().filter(|package| package.name == PACKAGE);
    let subjects = benches.flat_map(|package| package.binaries());
    Ok(subjects.filter_map(|name| Some(name.strip_prefix(kind)?.strip_prefix('-')?.to_owned())).collect())
}

fn find<'a>(kind: &'static str, subject: &'a str, known: &[String]) -> Result<&'a str, TaskError> {
    if known.iter().any(|name| name == subject) { Ok(subject) } else { Err(unknown(kind, subject, known)) }
}

fn unknown(kind: &'static str, given: &str, known: &[String]) -> TaskError {
    TaskError::Unknown { kind, given: given.to_owned(), known: known.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_subject_lists_the_known_ones() {
        let known = ["events".to_owned(), "gateway".to_owned()];
        let error = find("subject to compare", "evnts", &known).unwrap_err().to_string();
        assert_eq!(error, "no subject to compare of that name: evnts; there are events, gateway");
        assert!(find("subject of chaos", "x", &[]).unwrap_err().to_string().ends_with("there is none yet"));
    }
}

//! The developer's commands: `cargo xtask --help`.

mod check;
mod command;
mod error;
mod metadata;
mod rows;
mod setup;
mod subjects;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The developer's commands of sap-comm.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what the tests need, where that is allowed, and run every test
    Test(test::Options),
    /// Formatting, lints, docs, crate edges, features one by one, licences
    Check(check::Options),
    /// Our figures beside each peer's, measured in one run
    Compare(subjects::Compare),
    /// Load under seeded faults: what was sent, lost, duplicated, reordered, hung
    Chaos(subjects::Chaos),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Task::Test(options) => test::run(&options),
        Task::Check(options) => check::run(&options),
        Task::Compare(options) => subjects::compare(&options),
        Task::Chaos(options) => subjects::chaos(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn arguments_after_two_dashes_go_to_cargo_test() {
        let cli = Cli::parse_from(["cargo xtask", "test", "--", "-p", "xtask", "name"]);
        let Task::Test(options) = cli.command else { panic!("not a test") };
        assert_eq!(options.args, ["-p", "xtask", "name"]);
    }
}

//! `cargo xtask test`.

use clap::Args;

use crate::{command::Run, error::TaskError, setup};

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Leave the machine as it is, and let the tests that miss something fail
    #[arg(long)]
    no_install: bool,
    /// Passed on to `cargo test`, such as a test's name; with `-p` only that package is built
    #[arg(last = true)]
    pub(crate) args: Vec<String>,
}

/// Runs the tests of every crate with every feature, documentation examples included.
pub(crate) fn run(options: &Options) -> Result<(), TaskError> {
    if !options.no_install {
        setup::prepare()?;
    }
    let chosen = options.args.iter().any(|arg| arg == "-p" || arg == "--package" || arg.starts_with("--package="));
    let scope = if chosen { &[][..] } else { &["--workspace"] };
    Run::cargo().args(["test", "--all-features", "--no-fail-fast"]).args(scope).args(&options.args).show()
}

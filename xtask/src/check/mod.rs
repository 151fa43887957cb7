//! `cargo xtask check`: everything that a reviewer should not have to look for.

mod default_build;
mod edges;
mod features;
mod hygiene;
mod licence_expression;
mod licences;
mod msrv;
mod toolchain;

use std::time::Instant;

use clap::Args;

use crate::error::TaskError;

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Run only this step; may be repeated
    #[arg(long, value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(STEPS.iter().map(|step| step.name)))]
    step: Vec<String>,
}

/// One check. It returns a remark for its line, or what is wrong.
struct Step {
    name: &'static str,
    run: fn() -> Result<String, TaskError>,
}

/// The cheap ones first.
const STEPS: &[Step] = &[
    Step { name: "fmt", run: toolchain::format },
    Step { name: "hygiene", run: hygiene::check },
    Step { name: "sizes", run: hygiene::sizes },
    Step { name: "edges", run: edges::check },
    Step { name: "default-build", run: default_build::check },
    Step { name: "msrv", run: msrv::check },
    Step { name: "licences", run: licences::check },
    Step { name: "clippy", run: toolchain::clippy },
    Step { name: "docs", run: toolchain::docs },
    Step { name: "features", run: features::check },
];

/// Runs the steps to the last one, whatever fails on the way.
pub(crate) fn run(options: &Options) -> Result<(), TaskError> {
    let chosen = |step: &&Step| options.step.is_empty() || options.step.iter().any(|name| name == step.name);
    let mut failed = Vec::new();
    for step in STEPS.iter().filter(chosen) {
        let started = Instant::now();
        let outcome = (step.run)();
        let seconds = started.elapsed().as_secs_f64();
        match outcome {
            Ok(remark) => println!("{:<14} ok      {seconds:>6.1} s  {remark}", step.name),
            Err(error) => {
                println!("{:<14} FAILED  {seconds:>6.1} s", step.name);
                println!("{error}");
                failed.push(step.name.to_owned());
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(TaskError::Steps(failed)) }
}

/// Success with a remark when there are no findings.
fn verdict(findings: &[String], remark: String) -> Result<String, TaskError> {
    if findings.is_empty() { Ok(remark) } else { Err(TaskError::Findings(findings.join("\n"))) }
}

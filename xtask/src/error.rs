//! Why a task failed.

use std::io;

use sap_comm_testkit::TestkitError;

/// A failure, told to the developer in one message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    #[error("cannot run `{command}`: {source}")]
    Start { command: String, source: io::Error },
    #[error("`{command}` failed ({status})")]
    Failed { command: String, status: String },
    #[error("`{command}` failed ({status}):\n{output}")]
    FailedWith { command: String, status: String, output: String },
    #[error("cannot read {path}: {reason}")]
    Unreadable { path: String, reason: String },
    #[error("cannot write {path}: {source}")]
    Unwritable { path: String, source: io::Error },
    #[error("the tests need what is not on this machine:\n{0}")]
    Missing(String),
    #[error("no {kind} of that name: {given}; there {}", listed(.known))]
    Unknown { kind: &'static str, given: String, known: Vec<String> },
    #[error("{0}")]
    Findings(String),
    #[error("not a row of figures: {line} ({reason})")]
    Row { line: String, reason: String },
    #[error("failed: {}", .0.join(", "))]
    Steps(Vec<String>),
    #[error(transparent)]
    Testkit(#[from] TestkitError),
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "is none yet".to_owned() } else { format!("are {}", names.join(", ")) }
}

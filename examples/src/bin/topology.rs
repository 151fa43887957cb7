//! The whole topology; `--help` tells the rest.

use std::process::ExitCode;

fn main() -> ExitCode {
    sap_comm_examples::command::topology()
}

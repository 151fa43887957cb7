//! The user-service alone.

use std::process::ExitCode;

use sap_comm_examples::{cluster::ServiceName, command};

fn main() -> ExitCode {
    command::service(ServiceName::User)
}

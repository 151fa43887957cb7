//! The Node packages of the foreign clients.

use sap_comm_testkit::install::{node_dir, stale_node_packages};

use crate::{command::Run, error::TaskError};

/// Runs `npm ci` unless everything is there as locked.
pub(super) fn install() -> Result<(), TaskError> {
    if stale_node_packages()?.is_empty() {
        return Ok(());
    }
    Run::new("npm").args(["ci", "--no-audit", "--no-fund"]).dir(node_dir()).show_on_stderr()
}

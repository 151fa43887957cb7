//! `sap-events topology …`.

use std::{path::Path, process::ExitCode};

use sap_comm_events::{Management, TopologySpec};
use serde_json::json;

use crate::{
    args::{Connection, Topology},
    connect,
    failure::Failure,
    output,
};

/// The topology differs.
const DIFFERS: u8 = 3;

pub(crate) async fn run(connection: &Connection, as_json: bool, command: &Topology) -> Result<ExitCode, Failure> {
    let Topology::Diff { topology: file } = command;
    let spec = read(file)?;
    let differences = match &connection.management {
        Some(management) => spec.differences(&found(management, connection).await?),
        None => connect(connection).await?.topology_differences(&spec).await?,
    };
    if as_json {
        output::json(&json!({"differences": differences, "bindings": connection.management.is_some()}))?;
    } else {
        for difference in &differences {
            output::line(&output::printable(&difference.to_string()))?;
        }
        if differences.is_empty() {
            let (exchanges, queues) = (spec.exchanges.len(), spec.queues.len());
            output::line(&format!("no difference in {exchanges} exchanges and {queues} queues"))?;
        }
        if connection.management.is_none() {
            eprintln!("one argument of each is compared, and no bindings: --management tells the rest");
        }
    }
    Ok(if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(DIFFERS) })
}

/// Reads what a service exported.
pub(crate) fn read(file: &Path) -> Result<TopologySpec, Failure> {
    let failed = |reason: String| Failure::File { path: file.to_owned(), reason };
    let text = std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| failed(error.to_string()))
}

/// Everything that the broker has in the virtual host.
pub(crate) async fn found(management: &str, connection: &Connection) -> Result<TopologySpec, Failure> {
    Ok(Management::with_tls(management, &connection.tls())?.topology(&connection.vhost()?).await?)
}

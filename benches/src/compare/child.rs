//! Each client runs in a process of its own, so that its CPU time is its own.

use std::{process::Stdio, time::Duration};

use sap_comm_testkit::NodeScript;
use tokio::{process::Command, time::timeout};

use crate::{BenchError, Figures, Setting, client::Client};

/// Longer than any run takes that gets on at all.
const LIMIT: Duration = Duration::from_secs(600);

/// Runs the client once, in a process of its own.
pub(super) async fn run(client: Client, setting: &Setting) -> Result<Figures, BenchError> {
    let setting = serde_json::to_string(setting).map_err(BenchError::refused("write the setting"))?;
    match client {
        Client::Amqplib => node(client, &setting).await,
        _ => rust(client, &setting).await,
    }
}

/// This same program, told to be a client.
async fn rust(client: Client, setting: &str) -> Result<Figures, BenchError> {
    let program = std::env::current_exe().map_err(BenchError::refused("find this program"))?;
    let running = Command::new(program)
        .args(["client", client.name(), setting])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .output();
    let failed = |reason: String| BenchError::Client { client: client.name(), reason };
    let output = timeout(LIMIT, running).await.map_err(|_| failed(format!("it ran for over {LIMIT:?}")))?;
    let output = output.map_err(BenchError::refused("run this program again"))?;
    if !output.status.success() {
        return Err(failed(format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim_end())));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(format!("its figures cannot be read: {error}")))
}

async fn node(client: Client, setting: &str) -> Result<Figures, BenchError> {
    let mut script = NodeScript::new("bench_amqplib.mjs").arg(setting).spawn()?;
    let figures = script.next_json_within(LIMIT).await?;
    script.finish().await?;
    let failed = |error: serde_json::Error| BenchError::Client { client: client.name(), reason: error.to_string() };
    serde_json::from_value(figures).map_err(failed)
}

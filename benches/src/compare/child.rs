//! Each client runs in a process of its own, so that its CPU time is its own.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::OnceLock,
    time::Duration,
};

use sap_comm_testkit::NodeScript;
use tokio::{process::Command, time::timeout};

use crate::{BenchError, Figures, Setting, client::Client};

/// Longer than any run takes that gets on at all.
const LIMIT: Duration = Duration::from_secs(600);

/// The program of ruststream-lapin, once it is built.
static RUSTSTREAM: OnceLock<PathBuf> = OnceLock::new();

/// Builds the peer that is no part of the workspace. Where that fails, as with a Rust before 1.95, it is left out and named.
pub(super) async fn prepare() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("twins/ruststream");
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/ruststream");
    eprintln!("building {}", package.display());
    let building = Command::new("cargo")
        .args(["build", "--release", "--locked", "--target-dir"])
        .arg(&target)
        .current_dir(&package)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .status();
    match building.await {
        // It is set once a process.
        Ok(status) if status.success() => drop(RUSTSTREAM.set(target.join("release/sap-comm-bench-ruststream"))),
        Ok(status) => eprintln!("{} is left out: its build ended with {status}", Client::RuststreamLapin.name()),
        Err(error) => eprintln!("{} is left out: {error}", Client::RuststreamLapin.name()),
    }
}

/// Whether the client can be run here.
pub(super) fn is_ready(client: Client) -> bool {
    client != Client::RuststreamLapin || RUSTSTREAM.get().is_some()
}

/// Runs the client once, in a process of its own.
pub(super) async fn run(client: Client, setting: &Setting) -> Result<Figures, BenchError> {
    let setting = serde_json::to_string(setting).map_err(BenchError::refused("write the setting"))?;
    match client {
        Client::Amqplib => node(client, &setting).await,
        Client::RuststreamLapin => {
            let program = RUSTSTREAM.get().cloned().unwrap_or_default();
            rust(client, program, &[&setting]).await
        }
        _ => {
            // This same program, told to be a client.
            let program = std::env::current_exe().map_err(BenchError::refused("find this program"))?;
            rust(client, program, &["client", client.name(), &setting]).await
        }
    }
}

async fn rust(client: Client, program: PathBuf, arguments: &[&str]) -> Result<Figures, BenchError> {
    let running = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .output();
    let failed = |reason: String| BenchError::Client { client: client.name(), reason };
    let output = timeout(LIMIT, running).await.map_err(|_| failed(format!("it ran for over {LIMIT:?}")))?;
    let output = output.map_err(BenchError::refused("run a client"))?;
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

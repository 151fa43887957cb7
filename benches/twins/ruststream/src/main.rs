//! ruststream-lapin as `cargo xtask compare events` runs it: reads a setting as JSON, prints its figures as JSON.
//!
//! What measures is that of the other clients, the same files: `load`, `arrivals`, `cpu`, `figures`, `setting`.

#[path = "../../../src/arrivals.rs"]
mod arrivals;
mod client;
#[path = "../../../src/cpu.rs"]
mod cpu;
mod error;
mod event;
#[expect(dead_code, reason = "the comparison reads them")]
#[path = "../../../src/figures.rs"]
mod figures;
#[path = "../../../src/load.rs"]
mod load;
#[expect(dead_code, reason = "the comparison makes them")]
#[path = "../../../src/setting.rs"]
mod setting;

use std::process::ExitCode;

use arrivals::Arrivals;
use cpu::CpuTime;
use error::BenchError;
use figures::Figures;
use load::Load;
use setting::{QueueKind, Setting};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(figures) => {
            println!("{figures}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<String, BenchError> {
    let setting = std::env::args().nth(1).unwrap_or_default();
    let setting: Setting = serde_json::from_str(&setting).map_err(BenchError::refused("read the setting"))?;
    let figures = client::run(&setting).await?;
    serde_json::to_string(&figures).map_err(BenchError::refused("write the figures"))
}

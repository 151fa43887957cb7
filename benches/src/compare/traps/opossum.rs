//! opossum, led into the same traps by a script on Node.

use std::time::Duration;

use sap_comm_testkit::NodeScript;
use serde::Deserialize;
use tokio::runtime::Builder;

use super::{trap::Trap, verdict::Verdict};
use crate::BenchError;

/// Longer than the script's own limit of each trap.
const LIMIT: Duration = Duration::from_secs(40);

/// What the script prints for each trap.
#[derive(Debug, Deserialize)]
struct Walked {
    trap: String,
    verdict: Verdict,
}

/// Its version, and what became of every trap.
pub(super) fn verdicts(traps: &[Trap]) -> Result<(String, Vec<Verdict>), BenchError> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(BenchError::refused("build a runtime"))?;
    runtime.block_on(async {
        let names = traps.iter().map(|trap| trap.name()).collect::<Vec<_>>().join(",");
        let mut script = NodeScript::new("resilience_traps.mjs").arg(names).spawn()?;
        let version = script.next_json_within(LIMIT).await?["version"].as_str().unwrap_or("?").to_owned();
        let mut verdicts = Vec::new();
        for trap in traps {
            let walked: Walked = serde_json::from_value(script.next_json_within(LIMIT).await?)
                .map_err(BenchError::refused("read from Node"))?;
            if walked.trap != trap.name() {
                return Err(BenchError::refused("read from Node")(format!(
                    "{} instead of {}",
                    walked.trap,
                    trap.name()
                )));
            }
            verdicts.push(walked.verdict);
        }
        script.finish().await?;
        Ok((version, verdicts))
    })
}

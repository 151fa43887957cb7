//! opossum, in a Node process that times slices of calls when it is told to.

use std::time::Duration;

use sap_comm_testkit::NodeScript;

use super::contestant::{Contestant, runtime};
use crate::BenchError;

/// opossum as it comes, with its timeout; without one it is shown beside it.
pub(super) fn contestants(state: &'static str) -> [Contestant; 2] {
    [
        on_node("opossum", "await breaker.fire() on Node, with its default timeout", state, "10000"),
        on_node("opossum-no-timeout", "the same with `timeout: false`", state, "false").shown_only(),
    ]
}

/// The pipe to Node is not part of what is timed.
fn on_node(name: &'static str, how: &'static str, state: &'static str, timeout: &'static str) -> Contestant {
    Contestant::new(name, how, 1, move || {
        let runtime = runtime()?;
        let mut script =
            runtime.block_on(async { NodeScript::new("bench_opossum.mjs").arg(state).arg(timeout).spawn() })?;
        Ok(Box::new(move |calls| {
            let answer = runtime.block_on(async {
                script.send(calls.to_string()).await?;
                script.next_json().await
            })?;
            let nanos =
                answer["ns"].as_u64().ok_or_else(|| BenchError::refused("read from Node")(answer.to_string()))?;
            Ok(Duration::from_nanos(nanos))
        }))
    })
}

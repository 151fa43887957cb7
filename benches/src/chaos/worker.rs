//! A process under load, seen from outside.

use std::{fs, path::Path, time::Duration};

use sap_comm_testkit::guard::{Home, Server};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};

use super::role::{Orders, Progress, Role, Work};
use crate::BenchError;

const POLL: Duration = Duration::from_millis(10);

/// A process that works for the run.
pub(super) struct Worker {
    pub(super) role: Role,
    server: Server,
    orders: Mutex<Orders>,
}

impl Worker {
    /// Starts the process: this same program, told its role.
    pub(super) async fn start(role: Role) -> Result<Self, BenchError> {
        let program = std::env::current_exe().map_err(BenchError::refused("find this program"))?;
        let json = serde_json::to_string(&role).map_err(BenchError::refused("write a role"))?;
        let server = Home::new(role.name.clone())?.guard(program, ["work", &json])?;
        server.start().await?;
        Ok(Self { role, server, orders: Mutex::default() })
    }

    pub(super) fn name(&self) -> &str {
        &self.role.name
    }

    pub(super) fn progress(&self) -> Progress {
        Progress::of(&self.role.directory, &self.role.name)
    }

    pub(super) async fn order(&self, change: impl FnOnce(&mut Orders)) -> Result<(), BenchError> {
        let mut orders = self.orders.lock().await;
        change(&mut orders);
        orders.give(&self.role.directory, &self.role.name)
    }

    /// Kills the process and starts it again after `down`.
    pub(super) async fn kill(&self, down: Duration) -> Result<(), BenchError> {
        self.server.kill().await?;
        sleep(down).await;
        Ok(self.server.start().await?)
    }

    pub(super) async fn freeze(&self, frozen: Duration) -> Result<(), BenchError> {
        self.server.pause().await?;
        sleep(frozen).await;
        Ok(self.server.resume().await?)
    }

    /// Whether the process ended by itself, which it should not; it is started again. Its last words are in the error.
    pub(super) async fn has_crashed(&self) -> Result<Option<String>, BenchError> {
        if self.server.is_running() || self.progress().ended {
            return Ok(None);
        }
        let words = self.log();
        self.server.start().await?;
        Ok(Some(words))
    }

    /// What the process said last.
    pub(super) fn log(&self) -> String {
        self.server.log_tail()
    }

    /// Copies everything that the process said beside its other traces.
    pub(super) fn keep_log(&self) -> Result<(), BenchError> {
        let kept = self.role.file("log");
        fs::copy(self.server.log_path(), kept).map_err(BenchError::refused("keep a log"))?;
        Ok(())
    }

    /// Tells the process to stop and waits until it has finished; whether it did within `limit`.
    pub(super) async fn finish(&self, limit: Duration) -> Result<bool, BenchError> {
        self.order(|orders| orders.stop = true).await?;
        let by = Instant::now() + limit;
        while !self.progress().ended {
            if Instant::now() >= by {
                return Ok(false);
            }
            sleep(POLL).await;
        }
        Ok(true)
    }

    /// Resident memory of the process, KiB.
    pub(super) fn resident(&self) -> Option<u64> {
        resident(&self.server.pid()?.to_string())
    }

    /// Whether a consumer has declared and consumes all that it is to.
    pub(super) fn is_subscribed(&self) -> bool {
        self.role.subscribed().exists()
    }

    pub(super) fn consumes(&self) -> bool {
        matches!(self.role.work, Work::Consume { .. } | Work::Audit { .. })
    }
}

/// Resident memory of the process with this id, or of `self`; KiB.
pub(super) fn resident(process: &str) -> Option<u64> {
    let status = fs::read_to_string(Path::new("/proc").join(process).join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

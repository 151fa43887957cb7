use std::time::Duration;

use tokio::{task::JoinHandle, time::sleep};

use super::Inbox;

/// Cleans an inbox until it is dropped.
#[derive(Debug)]
#[must_use = "cleaning ends when its handle is dropped"]
pub struct CleanupHandle(JoinHandle<()>);

/// The longest pause between two rounds.
const LONGEST: Duration = Duration::from_secs(3_600);

impl CleanupHandle {
    pub(super) fn start(inbox: Inbox, age: Duration) -> Self {
        let pause = (age / 10).clamp(Duration::from_secs(1), LONGEST);
        Self(tokio::spawn(async move {
            loop {
                match inbox.forget(age).await {
                    Ok(forgotten) => tracing::debug!(forgotten, group = &*inbox.group, "cleaned the inbox"),
                    Err(error) => tracing::warn!(%error, group = &*inbox.group, "the inbox was not cleaned"),
                }
                sleep(pause.mul_f64(1.0 - 0.1 * fastrand::f64())).await;
            }
        }))
    }
}

impl Drop for CleanupHandle {
    fn drop(&mut self) {
        self.0.abort();
    }
}

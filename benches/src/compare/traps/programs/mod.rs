//! The traps as programs: the same one for every library.

pub(super) mod budget;
pub(super) mod half_open;
pub(super) mod hedge;
pub(super) mod layers;
pub(super) mod results;
pub(super) mod retry;
pub(super) mod transitions;
pub(super) mod window;

mod service;

use std::{future::Future, time::Duration};

use tokio::time::{sleep, timeout};

use super::{
    breaker::{Breaker, RESET, Reply, fail, succeed},
    verdict::{Verdict, Walk, ensure},
};

/// Within this whatever is to happen has happened.
const PATIENCE: Duration = Duration::from_secs(5);

/// Fails until the breaker rejects, for at most so many calls.
async fn open_within(breaker: &dyn Breaker, failures: u32) -> Walk {
    for _ in 0..=failures {
        if breaker.call(fail()).await.is_rejected() {
            return Ok(());
        }
    }
    Err(Verdict::Failed(format!("{failures} failures did not open it")))
}

/// Opens the breaker and waits until it lets a probe in.
async fn open_and_wait(breaker: &dyn Breaker) -> Walk {
    open_within(breaker, 100).await?;
    wait_for_reset().await;
    Ok(())
}

async fn wait_for_reset() {
    sleep(RESET + Duration::from_millis(50)).await;
}

async fn admits(breaker: &dyn Breaker, why: &str) -> Walk {
    ensure(breaker.call(succeed()).await == Reply::Answered, why)
}

/// Waits for what may never happen.
async fn in_time<T>(future: impl Future<Output = T>, why: &str) -> Result<T, Verdict> {
    timeout(PATIENCE, future).await.map_err(|_| Verdict::failed(why))
}

//! Traps 8 to 10: what the window remembers.

use std::time::Duration;

use tokio::time::sleep;

use super::{
    super::{
        breaker::{Wish, fail, succeed},
        library::Library,
        verdict::{Verdict, Walk, ensure},
    },
    admits, open_within,
};

/// The shortest that a library which counts whole seconds can have.
const WINDOW: Duration = Duration::from_secs(1);

async fn outlive_the_window() {
    sleep(2 * WINDOW).await;
}

/// Failures that are older than the window are forgotten.
pub(in super::super) async fn rollover(library: Library) -> Walk {
    if library == Library::Recloser {
        return Verdict::not_offered("a window of time");
    }
    let breaker = library.breaker(&Wish::half(4, WINDOW))?;
    for _ in 0..2 {
        for _ in 0..3 {
            ensure(!breaker.call(fail()).await.is_rejected(), "failures from before the window counted")?;
        }
        outlive_the_window().await;
    }
    admits(&*breaker, "failures from before the window counted").await
}

/// Failures within a millisecond open it, and buckets of less than one are refused.
pub(in super::super) async fn burst(library: Library) -> Walk {
    let breaker = library.breaker(&Wish::half(10, WINDOW))?;
    open_within(&*breaker, 10_000).await?;
    let refuses = library.refuses_buckets_of_nothing();
    ensure(refuses != Some(false), "it takes a window that is shorter than its buckets")
}

/// Many successes that are older than the window keep nobody from opening.
pub(in super::super) async fn long_history(library: Library) -> Walk {
    let breaker = library.breaker(&Wish::half(10, WINDOW))?;
    for _ in 0..20_000 {
        ensure(!breaker.call(succeed()).await.is_rejected(), "it opened without a failure")?;
    }
    outlive_the_window().await;
    let opened = open_within(&*breaker, 200).await;
    opened.map_err(|_| Verdict::failed("200 failures after 20,000 old successes did not open it"))
}

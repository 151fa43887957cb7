//! Traps 16, 17 and 19: what a result says about the dependency.

use std::time::Duration;

use super::{
    super::{
        breaker::{Fault, Wish, fail},
        library::Library,
        verdict::{Verdict, Walk, ensure},
    },
    admits, in_time, open_and_wait, open_within, wait_for_reset,
};

/// The caller's mistakes and throttling are neither failures nor successes.
pub(in super::super) async fn classified(library: Library) -> Walk {
    let breaker = library.breaker(&Wish::half(10, Duration::from_secs(10)))?;
    for _ in 0..20 {
        let reply = breaker.call(Box::pin(async { Err(Fault::NotFound) })).await;
        ensure(!reply.is_rejected(), "404 opened it")?;
    }
    for _ in 0..60 {
        for fault in [Fault::NotFound, Fault::Throttled] {
            breaker.call(Box::pin(async { Err(fault) })).await;
        }
        if breaker.call(fail()).await.is_rejected() {
            return Ok(());
        }
    }
    Err(Verdict::failed("404 and 429 count as successes: 60 failures among them did not open it"))
}

/// What another breaker rejects is no failure.
pub(in super::super) async fn own_rejections(library: Library) -> Walk {
    let (outer, inner) = (library.breaker(&Wish::in_a_row(3))?, library.breaker(&Wish::in_a_row(3))?);
    open_within(&*inner, 10).await?;
    for _ in 0..20 {
        ensure(!outer.nested(&*inner).await.is_rejected(), "rejections of a breaker inside opened it")?;
    }
    Ok(())
}

/// A panic is a failure and keeps no slot.
pub(in super::super) async fn panic(library: Library) -> Walk {
    let breaker = library.breaker(&Wish::in_a_row(3))?;
    let panicking = || tokio::spawn(breaker.call(Box::pin(async { panic!("the call panics") })));
    for _ in 0..10 {
        let _ = in_time(panicking(), "a call hung after a panic").await?;
    }
    ensure(breaker.call(fail()).await.is_rejected(), "ten calls that panicked did not open it")?;
    wait_for_reset().await;
    let _ = in_time(panicking(), "a probe hung after a panic").await?;
    ensure(breaker.call(fail()).await.is_rejected(), "a probe that panicked did not open it again")?;
    wait_for_reset().await;
    admits(&*breaker, "a probe that panicked kept its slot").await?;
    open_and_wait(&*breaker).await
}

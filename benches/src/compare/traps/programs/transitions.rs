//! Traps 6, 7, 15 and 22: how it opens, recovers, and tells.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::Semaphore;

use super::{
    super::{
        breaker::{Breaker, Change, Fault, Reply, Wish, fail, succeed},
        library::Library,
        verdict::{Verdict, Walk, ensure},
    },
    PATIENCE, admits, in_time, open_and_wait, open_within, wait_for_reset,
};

/// Many failures at once open it once, tell it once, and lose no reset.
pub(in super::super) async fn simultaneous_failures(library: Library) -> Walk {
    const CALLERS: u32 = 64;
    let opened = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&opened);
    let listener = Arc::new(move |change| {
        if change == Change::Opened {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let breaker = library.breaker(&Wish { listener: Some(listener), ..Wish::in_a_row(3) })?;
    let (begun, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let calls = (0..CALLERS).map(|_| {
        let (begun, gate) = (Arc::clone(&begun), Arc::clone(&gate));
        let call = breaker.call(Box::pin(async move {
            begun.add_permits(1);
            let _ = gate.acquire().await;
            Err(Fault::Down)
        }));
        tokio::spawn(call)
    });
    let calls: Vec<_> = calls.collect();
    let _ = in_time(begun.acquire_many(CALLERS), "not all calls began").await?;
    gate.close();
    for call in calls {
        let _ = call.await;
    }
    open_within(&*breaker, 10).await?;
    let opened = opened.load(Ordering::SeqCst);
    ensure(opened == 1, format!("{CALLERS} failures at once told of {opened} openings"))?;
    wait_for_reset().await;
    admits(&*breaker, "the reset was lost").await
}

/// The longest of all durations is refused, or lasts.
pub(in super::super) async fn saturating_clock(library: Library) -> Walk {
    let breaker = match library.breaker(&Wish { reset: Duration::MAX, ..Wish::in_a_row(3) }) {
        Ok(breaker) => breaker,
        Err(Verdict::Failed(_)) => return Ok(()),
        Err(verdict) => return Err(verdict),
    };
    open_within(&*breaker, 10).await?;
    wait_for_reset().await;
    ensure(breaker.call(succeed()).await.is_rejected(), "the longest reset timeout was over at once")
}

/// Resets differ from breaker to breaker, and traffic returns step by step.
pub(in super::super) async fn jitter_and_ramp(library: Library) -> Walk {
    let ramp = Duration::from_secs(30);
    let breaker = library.breaker(&Wish { ramp, ..Wish::in_a_row(3) })?;
    open_and_wait(&*breaker).await?;
    admits(&*breaker, "it admitted no probe").await?;
    let mut admitted = 0;
    for _ in 0..200 {
        admitted += u32::from(breaker.call(succeed()).await == Reply::Answered);
    }
    ensure((1..200).contains(&admitted), format!("{admitted} of 200 calls were admitted right after the recovery"))?;
    let mut resets = BTreeSet::new();
    for _ in 0..16 {
        let breaker = library.breaker(&Wish { reset: Duration::from_secs(100), jitter: 0.5, ..Wish::in_a_row(3) })?;
        open_within(&*breaker, 10).await?;
        match breaker.call(succeed()).await {
            Reply::Rejected(Some(after)) => resets.insert(after),
            _ => return Verdict::not_offered("the time of the next probe"),
        };
    }
    let (Some(first), Some(last)) = (resets.first(), resets.last()) else { return Ok(()) };
    ensure(*last - *first > Duration::from_secs(1), "all clients probe at the same time")
}

/// A listener that asks the breaker something, and panics, stops nobody.
pub(in super::super) async fn listener(library: Library) -> Walk {
    let known: Arc<OnceLock<Arc<dyn Breaker>>> = Arc::default();
    let breaker = {
        let known = Arc::clone(&known);
        let listener = Arc::new(move |_| {
            if let Some(breaker) = known.get() {
                breaker.ask();
                panic!("a listener panics");
            }
        });
        library.breaker(&Wish { listener: Some(listener), ..Wish::in_a_row(3) })?
    };
    let _ = known.set(Arc::clone(&breaker));
    for _ in 0..10 {
        let call = tokio::spawn(breaker.call(fail()));
        // What panics in the listener may reach the caller; that nothing hangs is what counts.
        let _ = in_time(call, "a call hung behind its listener").await?;
    }
    ensure(breaker.call(succeed()).await.is_rejected(), "it is not open although ten calls failed")?;
    let Some(close) = breaker.close() else { return Ok(()) };
    // On a thread of its own, which a deadlock would keep.
    let closing = std::thread::spawn(move || futures_util::FutureExt::now_or_never(close));
    let closed = tokio::task::spawn_blocking(move || closing.join());
    let closed = tokio::time::timeout(PATIENCE, closed).await;
    ensure(closed.is_ok(), "closing it by hand deadlocked with the listener")?;
    let call = in_time(tokio::spawn(breaker.call(succeed())), "a call hung after it was closed by hand").await?;
    ensure(matches!(call, Ok(Reply::Answered)), "it is not closed although it was closed by hand")
}

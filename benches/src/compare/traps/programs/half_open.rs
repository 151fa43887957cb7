//! Traps 1 to 5: who is a probe, and what becomes of it.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::join_all};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

use super::{
    super::{
        breaker::{Call, Fault, Wish, fail, succeed},
        library::Library,
        verdict::{Verdict, Walk, ensure},
    },
    PATIENCE, admits, in_time, open_and_wait, open_within, wait_for_reset,
};

/// Of a thousand callers at once only the one probe is let through.
pub(in super::super) async fn stampede(library: Library) -> Walk {
    const CALLERS: usize = 1_000;
    let breaker = library.breaker(&Wish::in_a_row(3))?;
    open_and_wait(&*breaker).await?;
    let (admitted, rejected) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for _ in 0..CALLERS {
        let (breaker, admitted, rejected) = (Arc::clone(&breaker), Arc::clone(&admitted), Arc::clone(&rejected));
        tokio::spawn(async move {
            let call = breaker.call(Box::pin(async move {
                admitted.fetch_add(1, Ordering::SeqCst);
                pending().await
            }));
            if call.await.is_rejected() {
                rejected.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    let gave_up = Instant::now() + PATIENCE;
    while admitted.load(Ordering::SeqCst) + rejected.load(Ordering::SeqCst) < CALLERS && Instant::now() < gave_up {
        sleep(Duration::from_millis(1)).await;
    }
    let admitted = admitted.load(Ordering::SeqCst);
    ensure(admitted == 1, format!("{admitted} of {CALLERS} callers were admitted as probes"))
}

/// What began before the breaker opened decides nothing while it probes.
pub(in super::super) async fn stale_result(library: Library) -> Walk {
    let breaker = library.breaker(&Wish::in_a_row(20))?;
    let (stale, probe) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let mut begun: Vec<_> = (0..5).map(|_| breaker.call(when(&stale, Ok(())))).collect();
    for call in &mut begun {
        ensure(call.now_or_never().is_none(), "a call ended before its answer")?;
    }
    open_and_wait(&*breaker).await?;
    let mut probing = breaker.call(when(&probe, Err(Fault::Down)));
    ensure((&mut probing).now_or_never().is_none(), "it admitted no probe")?;
    stale.add_permits(5);
    join_all(begun).await;
    probe.add_permits(1);
    probing.await;
    // Half-open a failure or two open it again; closed by stale successes it would take twenty.
    let opened = open_within(&*breaker, 3).await;
    opened.map_err(|_| Verdict::failed("successes from before it opened closed it"))
}

/// A probe that is dropped frees its slot and is no success.
pub(in super::super) async fn dropped_probe(library: Library) -> Walk {
    let breaker = library.breaker(&Wish::in_a_row(20))?;
    open_and_wait(&*breaker).await?;
    let mut probe = breaker.call(Box::pin(pending()));
    ensure((&mut probe).now_or_never().is_none(), "it admitted no probe")?;
    drop(probe);
    let next = in_time(breaker.call(fail()), "after a dropped probe it answered nobody").await?;
    ensure(!next.is_rejected(), "a dropped probe kept its slot")?;
    let opened = open_within(&*breaker, 3).await;
    opened.map_err(|_| Verdict::failed("a dropped probe counted as a success"))
}

/// A probe that nobody polls any more gives its slot up.
pub(in super::super) async fn endless_probe(library: Library) -> Walk {
    let lease = Duration::from_millis(200);
    let breaker = library.breaker(&Wish { lease, ..Wish::in_a_row(3) })?;
    open_and_wait(&*breaker).await?;
    let mut probe = breaker.call(Box::pin(pending()));
    ensure((&mut probe).now_or_never().is_none(), "it admitted no probe")?;
    sleep(lease).await;
    wait_for_reset().await;
    let next = in_time(breaker.call(succeed()), "behind an endless probe it answered nobody").await?;
    ensure(!next.is_rejected(), "an endless probe kept its slot")
}

/// A probe whose result says nothing frees its slot.
pub(in super::super) async fn ignored_probe(library: Library) -> Walk {
    let breaker = library.breaker(&Wish::in_a_row(3))?;
    open_and_wait(&*breaker).await?;
    let probe = breaker.call(Box::pin(async { Err(Fault::NotFound) })).await;
    ensure(!probe.is_rejected(), "it admitted no probe")?;
    admits(&*breaker, "an ignored probe kept its slot").await
}

/// A call that ends like this once there is a permit.
fn when(permits: &Arc<Semaphore>, result: Result<(), Fault>) -> Call {
    let permits = Arc::clone(permits);
    Box::pin(async move {
        match permits.acquire().await {
            Ok(permit) => permit.forget(),
            Err(_) => return Err(Fault::Refused),
        }
        result
    })
}

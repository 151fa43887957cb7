//! Traps 18, 20 and 21: timeouts, tower's contract, and slots.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicIsize, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::sync::Semaphore;
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

use super::{
    super::{
        breaker::Fault,
        library::Library,
        stack::{HttpRequest, HttpResponse, Stack, get},
        verdict::{Verdict, Walk, ensure},
    },
    in_time,
    service::{Guard, ok, send, service},
};

/// A call that takes too long counts once, and is dropped.
pub(in super::super) async fn timeout_counts_once(library: Library) -> Walk {
    let drops = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&drops);
    let (service, calls) = service(move |_| {
        let guard = Guard::counted_by(&counted);
        async move {
            let _guard = guard;
            pending().await
        }
    });
    let stack = library.stack(Stack::BreakerOverTimeout { failures: 2 }, service)?;
    for expected in [Fault::TimedOut, Fault::TimedOut, Fault::Refused] {
        let answer = in_time(send(&stack, get()), "the timeout did not end it").await?;
        ensure(answer.as_ref().is_err_and(|fault| *fault == expected), format!("{answer:?} instead of {expected}"))?;
    }
    let (calls, drops) = (calls.count(), drops.load(Ordering::SeqCst));
    ensure((calls, drops) == (2, 2), format!("of {calls} calls that took too long {drops} were cancelled"))
}

/// Every layer calls only what it found ready, and gives back what it reserved.
pub(in super::super) async fn contract(library: Library) -> Walk {
    let retry = Stack::RetryOverBreaker { retries: 2, failures: 10 };
    for stack in [Stack::Breaker, Stack::Timeout, Stack::Bulkhead, retry] {
        let strict = Strict::default();
        let (reserved, unready) = (Arc::clone(&strict.reserved), Arc::clone(&strict.unready));
        let during_back_off = Arc::clone(&strict.during_back_off);
        let mut service = library.stack(stack, BoxCloneSyncService::new(strict))?;
        for _ in 0..3 {
            let ready = in_time(service.ready(), "it never became ready").await?;
            let ready = ready.map_err(|fault| Verdict::failed(format!("{stack:?} was not ready: {fault}")))?;
            let answer = in_time(ready.call(get()), "it did not end").await?;
            let retried = matches!(stack, Stack::RetryOverBreaker { .. });
            ensure(answer.is_ok() || !retried, format!("{stack:?} did not retry: {answer:?}"))?;
        }
        ensure(unready.load(Ordering::SeqCst) == 0, format!("{stack:?} called a service that was not ready"))?;
        let held = during_back_off.load(Ordering::SeqCst);
        ensure(held == 0, format!("{stack:?} held {held} reservations across its back-off"))?;
        let mut twice = service.clone();
        for _ in 0..2 {
            let polled = std::future::poll_fn(|cx| Poll::Ready(twice.poll_ready(cx))).await;
            ensure(polled.is_ready(), format!("{stack:?} lost its readiness"))?;
        }
        drop((twice, service));
        let held = reserved.load(Ordering::SeqCst);
        ensure(held == 0, format!("{stack:?} was dropped and left {held} reservations"))?;
    }
    Ok(())
}

/// Who is ready and idle keeps nobody out.
pub(in super::super) async fn idle_ready_clone(library: Library) -> Walk {
    let gate = Arc::new(Semaphore::new(0));
    let wait = Arc::clone(&gate);
    let (service, _) = service(move |_| {
        let wait = Arc::clone(&wait);
        async move {
            let _ = wait.acquire().await;
            Ok(ok())
        }
    });
    let stack = library.stack(Stack::Bulkhead, service)?;
    let mut idle = stack.clone();
    let _ = in_time(idle.ready(), "the idle clone never became ready").await?;
    let mut working = stack.clone();
    let working = in_time(working.ready(), "an idle clone holds the slot").await?;
    let working = working.map_err(|fault| Verdict::failed(format!("an idle clone holds the slot: {fault}")))?;
    let mut call = working.call(get());
    let admitted = (&mut call).now_or_never().is_none();
    ensure(admitted, "an idle clone holds the slot")?;
    let third = in_time(send(&stack, get()), "a full bulkhead answers nobody").await?;
    ensure(third.is_err(), "a bulkhead of one slot let two calls in")?;
    gate.add_permits(1);
    let answer = in_time(call, "it did not end").await?;
    ensure(answer.is_ok(), "the call in the slot failed")
}

/// A service that reserves in `poll_ready`, notes who calls it without, and fails every other call at first.
#[derive(Default)]
struct Strict {
    is_ready: bool,
    reserved: Arc<AtomicIsize>,
    unready: Arc<AtomicUsize>,
    calls: Arc<AtomicUsize>,
    /// Reservations that were held while a retry waited.
    during_back_off: Arc<AtomicIsize>,
}

impl Clone for Strict {
    /// A clone is not ready.
    fn clone(&self) -> Self {
        Self {
            is_ready: false,
            reserved: Arc::clone(&self.reserved),
            unready: Arc::clone(&self.unready),
            calls: Arc::clone(&self.calls),
            during_back_off: Arc::clone(&self.during_back_off),
        }
    }
}

impl Service<HttpRequest> for Strict {
    type Response = HttpResponse;
    type Error = Fault;
    type Future = BoxFuture<'static, Result<HttpResponse, Fault>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        if !std::mem::replace(&mut self.is_ready, true) {
            self.reserved.fetch_add(1, Ordering::SeqCst);
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: HttpRequest) -> Self::Future {
        match std::mem::take(&mut self.is_ready) {
            true => self.reserved.fetch_sub(1, Ordering::SeqCst),
            false => self.unready.fetch_add(1, Ordering::SeqCst) as isize,
        };
        let fails = self.calls.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        if fails {
            let (reserved, held) = (Arc::clone(&self.reserved), Arc::clone(&self.during_back_off));
            tokio::spawn(async move {
                // In the middle of the wait that follows.
                tokio::time::sleep(super::super::stack::DELAY / 2).await;
                held.fetch_max(reserved.load(Ordering::SeqCst), Ordering::SeqCst);
            });
        }
        async move { if fails { Err(Fault::Down) } else { Ok(ok()) } }.boxed()
    }
}

impl Drop for Strict {
    fn drop(&mut self) {
        if self.is_ready {
            self.reserved.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

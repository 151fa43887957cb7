//! Trap 24: a second call against a slow first one.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::future::join_all;
use http::Method;
use tokio::time::sleep;

use super::{
    super::{
        breaker::Fault,
        library::Library,
        stack::{HEDGE, Stack, get},
        verdict::{Walk, ensure},
    },
    in_time,
    service::{Guard, ok, send, service},
};

pub(in super::super) async fn against_primary(library: Library) -> Walk {
    failing_hedge(library).await?;
    dropped_loser(library).await?;
    not_idempotent(library).await?;
    budget(library).await
}

/// A hedge that fails does not end a call that still runs.
async fn failing_hedge(library: Library) -> Walk {
    let (service, calls) = service(async |call| {
        if call > 1 {
            return Err(Fault::Down);
        }
        sleep(4 * HEDGE).await;
        Ok(ok())
    });
    let stack = library.stack(Stack::Hedge, service)?;
    let answer = in_time(send(&stack, get()), "it did not end").await?;
    ensure(calls.count() == 2, format!("{} calls instead of one and a hedge", calls.count()))?;
    ensure(answer.is_ok(), "a failed hedge beat the first call")
}

/// Whichever loses is dropped.
async fn dropped_loser(library: Library) -> Walk {
    let drops = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&drops);
    let (service, _) = service(move |call| {
        let guard = Guard::counted_by(&counted);
        async move {
            let _guard = guard;
            if call == 1 { pending().await } else { Ok(ok()) }
        }
    });
    let stack = library.stack(Stack::Hedge, service)?;
    let answer = in_time(send(&stack, get()), "no hedge was sent").await?;
    ensure(answer.is_ok() && drops.load(Ordering::SeqCst) == 2, "the loser was not dropped")
}

/// What must not be sent twice is not hedged.
async fn not_idempotent(library: Library) -> Walk {
    let (service, calls) = slow();
    let stack = library.stack(Stack::Hedge, service)?;
    let mut post = get();
    *post.method_mut() = Method::POST;
    let _ = in_time(send(&stack, post), "it did not end").await?;
    ensure(calls.count() == 1, "a POST was hedged")
}

/// A dependency that became slow for all does not get twice the load.
async fn budget(library: Library) -> Walk {
    const CALLS: usize = 60;
    let (service, calls) = slow();
    let stack = library.stack(Stack::Hedge, service)?;
    in_time(join_all((0..CALLS).map(|_| send(&stack, get()))), "they did not end").await?;
    let hedges = calls.count() - CALLS;
    ensure(hedges <= CALLS / 2, format!("{CALLS} slow calls got {hedges} hedges: there is no budget"))
}

fn slow() -> (super::super::stack::HttpService, super::service::Calls) {
    service(async |_| {
        sleep(4 * HEDGE).await;
        Ok(ok())
    })
}

use std::{any::Any, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use sap_comm::resilience::{BreakerError, CircuitBreaker, CircuitBreakerBuilder, Outcome, State};

use super::super::{
    breaker::{Breaker, Call, Change, Fault, Reply, Trip, Wish},
    verdict::{Built, Verdict},
};

struct Ours(CircuitBreaker);

pub(super) fn breaker(wish: &Wish) -> Built<Arc<dyn Breaker>> {
    let breaker = configured(wish).build().map_err(|error| Verdict::failed(format!("refused: {error}")))?;
    Ok(Arc::new(Ours(breaker)))
}

pub(super) fn refuses_window_of(window: Duration) -> bool {
    configured(&Wish::half(10, window)).sampling_buckets(10).build().is_err()
}

fn configured(wish: &Wish) -> CircuitBreakerBuilder {
    let builder = CircuitBreaker::builder("trap")
        .reset_timeout(wish.reset)
        .reset_jitter(wish.jitter)
        .probe_lease(wish.lease)
        .ramp(wish.ramp);
    let builder = match wish.trip {
        Trip::InARow(failures) => builder.failure_rate(None).consecutive_failures(failures),
        Trip::Half { minimum, window } => builder.failure_rate(0.5).minimum_throughput(minimum).sampling_window(window),
    };
    match wish.listener.clone() {
        Some(listener) => builder.on_transition(move |transition| {
            listener(if transition.to == State::Open { Change::Opened } else { Change::Other });
        }),
        None => builder,
    }
}

fn classify(result: &Result<(), Fault>) -> Outcome {
    match result {
        Ok(()) => Outcome::Success,
        Err(Fault::NotFound) => Outcome::Ignored,
        Err(Fault::Throttled) => Outcome::Throttled(None),
        Err(_) => Outcome::Failure,
    }
}

fn reply(result: Result<(), BreakerError<Fault>>) -> Reply {
    match result {
        Ok(()) => Reply::Answered,
        Err(BreakerError::Inner(fault)) => Reply::Failed(fault),
        Err(BreakerError::Open(rejected)) => Reply::Rejected(Some(rejected.retry_after())),
    }
}

impl Breaker for Ours {
    fn call(&self, call: Call) -> BoxFuture<'static, Reply> {
        let breaker = self.0.clone();
        async move { reply(breaker.call_with(&classify, async || call.await).await) }.boxed()
    }

    /// By the default classifier, which knows this crate's rejections inside any error.
    fn nested(&self, inner: &dyn Breaker) -> BoxFuture<'static, Reply> {
        let inner: &dyn Any = inner;
        let (outer, inner) = (self.0.clone(), inner.downcast_ref::<Self>().map(|inner| inner.0.clone()));
        async move {
            let Some(inner) = inner else { return Reply::Rejected(None) };
            let call = outer.call(async || inner.call(async || Ok::<_, Fault>(())).await);
            match call.await {
                Ok(()) => Reply::Answered,
                Err(BreakerError::Open(rejected)) => Reply::Rejected(Some(rejected.retry_after())),
                Err(BreakerError::Inner(_)) => Reply::Failed(Fault::Refused),
            }
        }
        .boxed()
    }

    fn ask(&self) {
        drop(self.0.snapshot());
        drop(self.0.try_acquire());
    }

    fn close(&self) -> Option<BoxFuture<'static, ()>> {
        let breaker = self.0.clone();
        Some(async move { breaker.close() }.boxed())
    }
}

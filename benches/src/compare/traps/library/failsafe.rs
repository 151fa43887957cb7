use std::{sync::Arc, time::Duration};

use failsafe::{
    Config, Error, FailurePolicy, Instrument, StateMachine, backoff, failure_policy, futures::CircuitBreaker as _,
};
use futures_util::{FutureExt, future::BoxFuture};

use super::super::{
    breaker::{Breaker, Call, Change, Fault, Listener, Reply, Trip, Wish},
    verdict::{Built, Verdict},
};

struct Failsafe<P>(StateMachine<P, Told>);

/// Tells a listener.
struct Told(Option<Listener>);

impl Told {
    fn tell(&self, change: Change) {
        if let Some(listener) = &self.0 {
            listener(change);
        }
    }
}

impl Instrument for Told {
    fn on_call_rejected(&self) {}

    fn on_open(&self) {
        self.tell(Change::Opened);
    }

    fn on_half_open(&self) {
        self.tell(Change::Other);
    }

    fn on_closed(&self) {
        self.tell(Change::Other);
    }
}

pub(super) fn breaker(wish: &Wish) -> Built<Arc<dyn Breaker>> {
    if !wish.ramp.is_zero() {
        return Verdict::not_offered("a traffic ramp after recovery");
    }
    let reset = backoff::constant(wish.reset);
    Ok(match wish.trip {
        Trip::InARow(failures) => with(failure_policy::consecutive_failures(failures, reset), wish),
        Trip::Half { minimum, window } => {
            with(failure_policy::success_rate_over_time_window(0.5, minimum, window, reset), wish)
        }
    })
}

fn with<P: FailurePolicy + Send + Sync + 'static>(policy: P, wish: &Wish) -> Arc<dyn Breaker> {
    Arc::new(Failsafe(Config::new().failure_policy(policy).instrument(Told(wish.listener.clone())).build()))
}

/// It counts in whole seconds.
pub(super) fn refuses_window_of(window: Duration) -> bool {
    let reset = backoff::constant(Duration::from_secs(1));
    std::panic::catch_unwind(|| failure_policy::success_rate_over_time_window(0.5, 10, window, reset)).is_err()
}

fn counts(fault: &Fault) -> bool {
    *fault == Fault::Down
}

impl<P: FailurePolicy + Send + Sync + 'static> Breaker for Failsafe<P> {
    fn call(&self, call: Call) -> BoxFuture<'static, Reply> {
        let call = self.0.call_with(counts as fn(&Fault) -> bool, call);
        async move {
            match call.await {
                Ok(()) => Reply::Answered,
                Err(Error::Inner(fault)) => Reply::Failed(fault),
                Err(Error::Rejected) => Reply::Rejected(None),
            }
        }
        .boxed()
    }

    fn ask(&self) {
        self.0.is_call_permitted();
    }

    fn close(&self) -> Option<BoxFuture<'static, ()>> {
        let breaker = self.0.clone();
        Some(async move { breaker.reset() }.boxed())
    }
}

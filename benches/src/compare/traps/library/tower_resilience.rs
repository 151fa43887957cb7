use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_resilience::circuitbreaker::{
    CircuitBreakerConfigBuilder, CircuitBreakerError, CircuitBreakerHandle, CircuitBreakerLayer, CircuitState,
    FailureClassifier, SlidingWindowType,
};

use super::super::{
    breaker::{Breaker, Call, Change, Fault, Reply, Trip, Wish},
    verdict::{Built, Verdict},
};

/// Counts what says something about the dependency.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts;

impl<T> FailureClassifier<T, Fault> for Counts {
    fn classify(&self, result: &Result<T, Fault>) -> bool {
        matches!(result, Err(Fault::Down | Fault::TimedOut))
    }
}

struct Tower {
    layer: CircuitBreakerLayer<Counts>,
    handle: Arc<CircuitBreakerHandle<Counts>>,
}

pub(super) fn breaker(wish: &Wish) -> Built<Arc<dyn Breaker>> {
    if !wish.ramp.is_zero() {
        return Verdict::not_offered("a traffic ramp after recovery");
    }
    let builder = configured(wish.trip).wait_duration_in_open(wish.reset);
    let builder = match wish.listener.clone() {
        Some(listener) => builder.on_state_transition(move |_, to| {
            listener(if to == CircuitState::Open { Change::Opened } else { Change::Other });
        }),
        None => builder,
    };
    let built = builder.failure_classifier_type(Counts).build_with_handle();
    let (layer, handle) = built.map_err(|error| Verdict::failed(format!("refused: {error}")))?;
    Ok(Arc::new(Tower { layer, handle: Arc::new(handle) }))
}

/// With one probe.
pub(super) fn configured(
    trip: Trip,
) -> CircuitBreakerConfigBuilder<tower_resilience::circuitbreaker::DefaultClassifier> {
    let builder = CircuitBreakerLayer::builder().permitted_calls_in_half_open(1);
    match trip {
        Trip::InARow(failures) => builder.consecutive_failures(failures as usize),
        Trip::Half { minimum, window } => builder
            .failure_rate_threshold(0.5)
            .minimum_number_of_calls(minimum as usize)
            .sliding_window_type(SlidingWindowType::TimeBased)
            .sliding_window_duration(window),
    }
}

impl Breaker for Tower {
    fn call(&self, call: Call) -> BoxFuture<'static, Reply> {
        // One service a call: the call itself is not a request that clones. All share the circuit.
        let call = Arc::new(std::sync::Mutex::new(Some(call)));
        let mut service = self.layer.layer(service_fn(move |(): ()| {
            let call = call.lock().map(|mut call| call.take()).unwrap_or_default();
            async move {
                match call {
                    Some(call) => call.await,
                    None => Err(Fault::Refused),
                }
            }
        }));
        async move {
            let called = match service.ready().await {
                Ok(ready) => ready.call(()).await,
                Err(error) => Err(error),
            };
            match called {
                Ok(()) => Reply::Answered,
                Err(CircuitBreakerError::Inner(fault)) => Reply::Failed(fault),
                Err(CircuitBreakerError::OpenCircuit) => Reply::Rejected(None),
            }
        }
        .boxed()
    }

    fn ask(&self) {
        let _ = self.handle.state();
    }

    fn close(&self) -> Option<BoxFuture<'static, ()>> {
        let handle = Arc::clone(&self.handle);
        Some(async move { handle.force_closed().await }.boxed())
    }
}

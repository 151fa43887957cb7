//! What a circuit breaker adds to a call.

use std::{convert::Infallible, hint::black_box, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use sap_comm::resilience::CircuitBreaker;
use tokio::runtime::Builder;

async fn call() -> Result<u32, Infallible> {
    Ok(black_box(7))
}

fn all(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime can be built");
    let closed = CircuitBreaker::builder("closed").build().expect("the defaults are valid");
    let open = CircuitBreaker::builder("open").build().expect("the defaults are valid");
    open.isolate();

    let mut group = criterion.benchmark_group("circuit_breaker");
    group.bench_function("bare", |b| b.to_async(&runtime).iter(call));
    group.bench_function("closed", |b| b.to_async(&runtime).iter(|| closed.call(call)));
    group.bench_function("open", |b| b.to_async(&runtime).iter(|| open.call(call)));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(30);
    targets = all
}
criterion_main!(benches);

//! What an event costs as JSON: written, routed without looking at its payload, and read.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sap_comm::{Event, EventPayload, RawEvent};
use sap_comm_benches::event::{SOURCE, Sized, UserCreated};

fn event<T: EventPayload>(criterion: &mut Criterion, name: &str, payload: T) {
    let event = Event::new(SOURCE, payload);
    let json = event.to_json().expect("the payload is plain data");
    let mut group = criterion.benchmark_group("event_json");
    group.throughput(Throughput::Bytes(json.len() as u64));
    group.bench_function(BenchmarkId::new("encode", name), |b| b.iter(|| black_box(&event).to_json()));
    group.bench_function(BenchmarkId::new("route", name), |b| b.iter(|| RawEvent::from_json(black_box(&json))));
    group.bench_function(BenchmarkId::new("decode", name), |b| {
        b.iter(|| RawEvent::from_json(black_box(&json)).and_then(RawEvent::decode::<T>));
    });
    group.finish();
}

fn all(criterion: &mut Criterion) {
    event(criterion, "user.created", UserCreated::numbered(7));
    for (name, bytes) in [("1KiB", 1 << 10), ("64KiB", 64 << 10)] {
        event(criterion, name, Sized::of(bytes));
    }
    criterion.bench_function("event_json/new", |b| {
        let payload = UserCreated::numbered(7);
        b.iter(|| Event::new(SOURCE, black_box(payload.clone())));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_secs(1))
        .sample_size(30);
    targets = all
}
criterion_main!(benches);

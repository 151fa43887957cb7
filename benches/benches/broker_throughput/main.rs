//! Events a second through a broker: in memory, and on a private RabbitMQ.

mod load;
mod subject;

use std::{process::ExitCode, time::Duration};

use criterion::{BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput, measurement::WallTime};
use sap_comm_benches::event::Sized;
use sap_comm_testkit::install::locate;
use tokio::runtime::{Builder, Runtime};

use self::{
    load::{Load, Part},
    subject::{Place, Subject},
};

/// What one thread makes and another frees has the system's allocator fight with itself, for ours and for every peer.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PAYLOADS: [(&str, usize); 3] = [("100B", 100), ("1KiB", 1 << 10), ("64KiB", 64 << 10)];
/// Publishes ahead of their confirms, and deliveries ahead of the handler.
const WINDOWS: [u16; 3] = [1, 100, 1_000];

fn main() -> ExitCode {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(1_200))
        .sample_size(10)
        .configure_from_args();
    let runtime = match Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    measure(&mut criterion, &runtime, Place::Memory);
    if let Err(error) = locate("rabbitmq-server") {
        return failed(&error);
    }
    measure(&mut criterion, &runtime, Place::RabbitMq);
    criterion.final_summary();
    ExitCode::SUCCESS
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}

fn measure(criterion: &mut Criterion, runtime: &Runtime, place: Place) {
    for part in [Part::Publish, Part::Consume, Part::EndToEnd] {
        let mut group = criterion.benchmark_group(format!("broker_throughput/{}/{}", place.name(), part.name()));
        group.throughput(Throughput::Elements(1)).sampling_mode(SamplingMode::Flat);
        for (name, bytes) in PAYLOADS {
            for window in WINDOWS {
                one(&mut group, name, runtime, place, &Load { part, payload: Sized::of(bytes), window });
            }
        }
        group.finish();
    }
}

fn one(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, runtime: &Runtime, place: Place, load: &Load) {
    let mut subject = None;
    group.bench_function(BenchmarkId::new(name, format!("window {}", load.window)), |b| {
        // A benchmark that is filtered out connects to nothing.
        let subject = subject.get_or_insert_with(|| runtime.block_on(Subject::connect(place, load.window)));
        b.iter_custom(|events| runtime.block_on(load.take(subject, events)));
    });
    if let Some(subject) = subject {
        runtime.block_on(subject.close());
    }
}

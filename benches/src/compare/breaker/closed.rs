//! Successful calls through closed breakers.

use std::{hint::black_box, time::Instant};

use failsafe::{CircuitBreaker as _, Config, backoff, failure_policy};
use recloser::Recloser;
use sap_comm::resilience::CircuitBreaker;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_resilience::circuitbreaker::CircuitBreakerLayer;

use super::{
    Settings,
    contestant::{Contestant, Runner, awaited, no_op, no_op_async, pass, plain},
    opossum,
};
use crate::BenchError;

/// Ours first. Node runs on one thread, so that opossum is compared there only.
pub(super) fn contestants(threads: usize) -> Result<Vec<Contestant>, BenchError> {
    let mut contestants = vec![
        ours("sap-comm", threads)?,
        rate_window(threads),
        consecutive(threads),
        recloser(threads),
        tower_resilience(threads)?,
        instant_now(threads),
    ];
    match threads {
        1 => contestants.extend(opossum::contestants("closed")),
        _ => contestants.extend([apart(threads), ours("sap-comm-alone", 1)?.shown_only()]),
    }
    Ok(contestants)
}

/// What reading the clock once costs.
pub(super) fn instant_now(threads: usize) -> Contestant {
    Contestant::new("instant-now", "one Instant::now()", threads, || {
        Ok(plain(|| {
            black_box(Instant::now());
        }))
    })
}

fn ours(name: &'static str, threads: usize) -> Result<Contestant, BenchError> {
    let breaker = breaker()?;
    Ok(Contestant::new(name, "breaker.call(async || …).await", threads, move || calls(breaker.clone())))
}

/// A breaker that one thread uses, while the other cores are as busy: two of them may be halves of one, and then each
/// is slower for it, whatever the threads share.
fn apart(threads: usize) -> Contestant {
    Contestant::new("self-1t", "the same, a breaker for each thread", threads, || calls(breaker()?))
}

fn breaker() -> Result<CircuitBreaker, BenchError> {
    CircuitBreaker::builder("closed")
        .failure_rate(Settings::FAILURE_RATE)
        .sampling_window(Settings::WINDOW)
        .minimum_throughput(Settings::MINIMUM)
        .build()
        .map_err(BenchError::refused("build a breaker"))
}

fn calls(breaker: CircuitBreaker) -> Result<Runner, BenchError> {
    awaited(async move || pass(&breaker.call(no_op_async).await))
}

fn rate_window(threads: usize) -> Contestant {
    let minimum = Settings::MINIMUM;
    let policy = failure_policy::success_rate_over_time_window(
        1.0 - Settings::FAILURE_RATE,
        minimum,
        Settings::WINDOW,
        backoff::constant(Settings::RESET),
    );
    let breaker = Config::new().failure_policy(policy).build();
    Contestant::new("failsafe-rate-window", "breaker.call(|| …)", threads, move || {
        let breaker = breaker.clone();
        Ok(plain(move || pass(&breaker.call(no_op))))
    })
}

fn consecutive(threads: usize) -> Contestant {
    let policy = failure_policy::consecutive_failures(Settings::MINIMUM, backoff::constant(Settings::RESET));
    let breaker = Config::new().failure_policy(policy).build();
    Contestant::new("failsafe-consecutive", "breaker.call(|| …)", threads, move || {
        let breaker = breaker.clone();
        Ok(plain(move || pass(&breaker.call(no_op))))
    })
}

fn recloser(threads: usize) -> Contestant {
    let breaker =
        std::sync::Arc::new(Recloser::custom().error_rate(Settings::FAILURE_RATE as f32).closed_len(100).build());
    Contestant::new("recloser", "breaker.call(|| …), window of 100 calls", threads, move || {
        let breaker = breaker.clone();
        Ok(plain(move || pass(&breaker.call(no_op))))
    })
}

/// With its window of calls: its window of time walks through every call of the last ten seconds at each call.
fn tower_resilience(threads: usize) -> Result<Contestant, BenchError> {
    let (layer, _) = CircuitBreakerLayer::builder()
        .failure_rate_threshold(Settings::FAILURE_RATE)
        .sliding_window_size(100)
        .minimum_number_of_calls(Settings::MINIMUM as usize)
        .build_with_handle()
        .map_err(BenchError::refused("build a breaker of tower-resilience"))?;
    Ok(Contestant::new(
        "tower-resilience",
        "service.ready().await?.call(()).await, window of 100 calls",
        threads,
        move || {
            let mut service = layer.layer(service_fn(|(): ()| no_op_async()));
            awaited(async move || {
                if let Ok(ready) = service.ready().await {
                    pass(&ready.call(()).await);
                }
            })
        },
    ))
}

//! Rejections by open breakers.

use std::{io, sync::Arc};

use failsafe::{CircuitBreaker as _, Config, FailurePolicy as _, backoff, failure_policy};
use recloser::Recloser;
use sap_comm::resilience::{CircuitBreaker, Name};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_resilience::circuitbreaker::CircuitBreakerLayer;

use super::{
    Settings,
    closed::instant_now,
    contestant::{Contestant, awaited, no_op, no_op_async, pass, plain, runtime},
    opossum,
};
use crate::BenchError;

/// Ours first.
pub(super) fn contestants(threads: usize) -> Result<Vec<Contestant>, BenchError> {
    let mut contestants = vec![
        ours("sap-comm", "open".into(), threads)?,
        failsafe_rate_window(threads),
        failsafe_consecutive(threads),
        recloser(threads),
        tower_resilience(threads)?,
        instant_now(threads),
        ours("sap-comm-long-name", String::from("a-name-of-over-thirty-bytes-made-at-run-time").into(), threads)?
            .shown_only(),
    ];
    contestants.extend(opossum::contestants("open"));
    Ok(contestants)
}

fn fail() -> io::Result<u32> {
    Err(io::Error::other("down"))
}

/// A rejection names the breaker, so that a name that is counted by reference costs something.
fn ours(contestant: &'static str, name: Name, threads: usize) -> Result<Contestant, BenchError> {
    let breaker = CircuitBreaker::builder(name)
        .failure_rate(Settings::FAILURE_RATE)
        .sampling_window(Settings::WINDOW)
        .minimum_throughput(Settings::MINIMUM)
        .reset_timeout(Settings::RESET)
        .build()
        .map_err(BenchError::refused("build a breaker"))?;
    runtime()?.block_on(async {
        for _ in 0..=Settings::MINIMUM {
            drop(breaker.call(async || fail()).await);
        }
    });
    Ok(Contestant::new(contestant, "breaker.call(async || …).await", threads, move || {
        let breaker = breaker.clone();
        awaited(async move || pass(&breaker.call(no_op_async).await))
    }))
}

/// A rejection does not ask the policy, so that another one may open it.
fn failsafe_rate_window(threads: usize) -> Contestant {
    let reset = || backoff::constant(Settings::RESET);
    let policy = failure_policy::success_rate_over_time_window(
        1.0 - Settings::FAILURE_RATE,
        Settings::MINIMUM,
        Settings::WINDOW,
        reset(),
    );
    let breaker =
        Config::new().failure_policy(policy.or_else(failure_policy::consecutive_failures(1, reset()))).build();
    drop(breaker.call(fail));
    Contestant::new("failsafe-rate-window", "breaker.call(|| …)", threads, move || {
        let breaker = breaker.clone();
        Ok(plain(move || pass(&breaker.call(no_op))))
    })
}

fn failsafe_consecutive(threads: usize) -> Contestant {
    let policy = failure_policy::consecutive_failures(1, backoff::constant(Settings::RESET));
    let breaker = Config::new().failure_policy(policy).build();
    drop(breaker.call(fail));
    Contestant::new("failsafe-consecutive", "breaker.call(|| …)", threads, move || {
        let breaker = breaker.clone();
        Ok(plain(move || pass(&breaker.call(no_op))))
    })
}

fn recloser(threads: usize) -> Contestant {
    let breaker = Arc::new(Recloser::custom().closed_len(1).open_wait(Settings::RESET).build());
    for _ in 0..2 {
        drop(breaker.call(fail));
    }
    Contestant::new("recloser", "breaker.call(|| …)", threads, move || {
        let breaker = Arc::clone(&breaker);
        Ok(plain(move || pass(&breaker.call(no_op))))
    })
}

fn tower_resilience(threads: usize) -> Result<Contestant, BenchError> {
    let (layer, handle) = CircuitBreakerLayer::builder()
        .wait_duration_in_open(Settings::RESET)
        .build_with_handle()
        .map_err(BenchError::refused("build a breaker of tower-resilience"))?;
    runtime()?.block_on(handle.force_open());
    Ok(Contestant::new("tower-resilience", "service.ready().await?.call(()).await", threads, move || {
        let mut service = layer.layer(service_fn(|(): ()| no_op_async()));
        awaited(async move || {
            if let Ok(ready) = service.ready().await {
                pass(&ready.call(()).await);
            }
        })
    }))
}

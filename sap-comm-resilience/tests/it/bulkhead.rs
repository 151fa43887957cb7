//! Slots and the queue before them.

use std::{future::pending, io};

use futures_util::{FutureExt, future::join_all};
use sap_comm_resilience::{Bulkhead, BulkheadError};
use tower::{Layer, Service, service_fn};

use crate::support::SECOND;

async fn busy(bulkhead: &Bulkhead) -> bool {
    let call = bulkhead.call(async || {
        tokio::time::sleep(SECOND).await;
        Ok::<_, io::Error>(())
    });
    call.await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn a_full_bulkhead_refuses_at_once() {
    let bulkhead = Bulkhead::builder("test").max_concurrent(3).build().unwrap();
    let done = join_all((0..10).map(|_| busy(&bulkhead))).await;
    assert_eq!(done.iter().filter(|done| **done).count(), 3);
    assert_eq!(bulkhead.available(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded_and_empties() {
    let bulkhead = Bulkhead::builder("test").max_concurrent(2).max_queue(3).build().unwrap();
    let done = join_all((0..10).map(|_| busy(&bulkhead))).await;
    assert_eq!(done.iter().filter(|done| **done).count(), 5);
    assert_eq!(bulkhead.queued(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_wait_in_the_queue_is_bounded() {
    let bulkhead = Bulkhead::builder("test").max_concurrent(1).max_queue(1).max_wait(SECOND / 2).build().unwrap();
    let done = join_all((0..2).map(|_| busy(&bulkhead))).await;
    assert_eq!(done, [true, false]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_wait_leaves_the_queue() {
    let bulkhead = Bulkhead::builder("test").max_concurrent(1).max_queue(1).build().unwrap();
    let slot = bulkhead.acquire().await.unwrap();
    let mut wait = Box::pin(bulkhead.acquire());
    assert!(wait.as_mut().now_or_never().is_none());
    assert_eq!(bulkhead.queued(), 1);
    drop(wait);
    assert_eq!(bulkhead.queued(), 0);
    drop(slot);
    assert_eq!(bulkhead.available(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_layer_gives_its_slot_back_when_dropped() {
    let bulkhead = Bulkhead::builder("test").max_concurrent(1).max_queue(1).build().unwrap();
    let mut service = bulkhead.layer().layer(service_fn(|(): ()| pending::<Result<(), io::Error>>()));
    let mut running = Box::pin(service.call(()));
    let mut queued = Box::pin(service.call(()));
    assert!(running.as_mut().now_or_never().is_none() && queued.as_mut().now_or_never().is_none());
    assert!(matches!(service.call(()).await, Err(BulkheadError::Full(_))));
    drop(running);
    assert!(queued.as_mut().now_or_never().is_none());
    drop(queued);
    assert_eq!((bulkhead.available(), bulkhead.queued()), (1, 0));
}

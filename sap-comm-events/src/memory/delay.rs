//! The end of a delay: messages go from a delay queue back to the queue that they came from.

use std::sync::{Arc, Weak};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::Shared;
use crate::backend::FAR;

/// Moves what is due from `queue` to `to`, for as long as the broker lives.
pub(super) async fn end(shared: Weak<Shared>, bell: Arc<Notify>, queue: String, to: String) {
    while let Some(shared) = shared.upgrade() {
        let next = shared.state.lock().end_delays(&queue, &to);
        shared.room.ring();
        drop(shared);
        tokio::select! {
            () = bell.notified() => {}
            () = sleep_until(next.unwrap_or_else(|| Instant::now() + FAR)) => {}
        }
    }
}

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Where tasks wait for something to become true; ringing costs nothing while nobody does.
#[derive(Debug, Default)]
pub(super) struct Gate {
    waiting: AtomicUsize,
    bell: Notify,
}

impl Gate {
    /// Looks until there is something, again whenever the gate rings. Cancel safe.
    pub(super) async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        let _waiting = Waiting::at(self);
        loop {
            let mut rung = std::pin::pin!(self.bell.notified());
            // Listens before it looks, so that no ring is missed between the two.
            rung.as_mut().enable();
            if let Some(found) = look() {
                return found;
            }
            rung.await;
        }
    }

    /// Something may have become true. Whoever changed it did so in sequentially consistent order.
    pub(super) fn ring(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.bell.notify_waiters();
        }
    }
}

struct Waiting<'a>(&'a Gate);

impl<'a> Waiting<'a> {
    fn at(gate: &'a Gate) -> Self {
        gate.waiting.fetch_add(1, Ordering::SeqCst);
        Self(gate)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

//! What is to be written to the socket.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::sleep};

use super::{registry::Core, settling};

/// How long acknowledgements wait for others.
const GATHER: Duration = Duration::from_millis(5);
/// Above this, publishers wait.
const FULL: usize = 1 << 20;

#[derive(Default)]
pub(super) struct Outbound {
    queue: Mutex<Queue>,
    /// How many bytes are in the buffer.
    waiting: AtomicUsize,
    /// There is something to write.
    now: Notify,
    /// There is something to write, which may wait for more.
    soon: Notify,
    /// The buffer was taken.
    room: Notify,
}

#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    /// Channels with acknowledgements to write.
    due: Vec<Arc<Core>>,
    /// Whether the writer was told.
    told: bool,
    /// Nothing is written any more.
    closed: bool,
}

impl Outbound {
    /// Writes into the buffer, and sees that it reaches the socket.
    pub(super) fn write<T>(&self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let mut queue = self.queue.lock();
        let written = queue.write(write);
        let tell = !queue.told && !queue.bytes.is_empty();
        queue.told |= tell;
        if !queue.closed {
            self.waiting.store(queue.bytes.len(), Ordering::Relaxed);
        }
        drop(queue);
        if tell {
            self.now.notify_one();
        }
        written
    }

    /// Like [`Outbound::write`], for the writer itself, or ahead of it.
    pub(super) fn append(&self, write: impl FnOnce(&mut Vec<u8>)) {
        self.queue.lock().write(write);
    }

    /// Takes note of a channel that has acknowledgements to write.
    pub(super) fn list(&self, core: Arc<Core>) {
        let mut queue = self.queue.lock();
        if !queue.closed {
            queue.due.push(core);
            drop(queue);
            self.soon.notify_one();
        }
    }

    pub(super) fn hurry(&self) {
        self.now.notify_one();
    }

    /// Waits until there is something to write.
    pub(super) async fn wait(&self) {
        tokio::select! {
            biased;
            () = self.now.notified() => {}
            () = self.soon.notified() => {
                tokio::select! {
                    () = self.now.notified() => {}
                    () = sleep(GATHER) => {}
                }
            }
        }
    }

    /// Takes what is to be written, and leaves `bytes`, which is empty, to be filled.
    pub(super) fn take(&self, bytes: &mut Vec<u8>) {
        let due = mem::take(&mut self.queue.lock().due);
        for core in due {
            settling::settle(&core, |write| self.append(write));
        }
        let mut queue = self.queue.lock();
        queue.told = false;
        mem::swap(&mut queue.bytes, bytes);
        self.waiting.store(queue.bytes.len(), Ordering::Relaxed);
        drop(queue);
        self.room.notify_waiters();
    }

    /// Whether more is waiting than the socket will take for a while.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) >= FULL
    }

    /// Waits while it is full.
    pub(super) async fn room(&self) {
        loop {
            let room = self.room.notified();
            if !self.is_full() {
                return;
            }
            room.await;
        }
    }

    /// Takes nothing any more, and lets everybody go on who waits for room.
    pub(super) fn close(&self) {
        let mut queue = self.queue.lock();
        queue.closed = true;
        queue.due.clear();
        self.waiting.store(0, Ordering::Relaxed);
        drop(queue);
        self.now.notify_one();
        self.room.notify_waiters();
    }

    /// Forgets what nobody will write.
    pub(super) fn clear(&self) {
        self.queue.lock().bytes = Vec::new();
        self.room.notify_waiters();
    }
}

impl Queue {
    fn write<T>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let before = self.bytes.len();
        let written = write(&mut self.bytes);
        if self.closed {
            self.bytes.truncate(before);
        }
        written
    }
}

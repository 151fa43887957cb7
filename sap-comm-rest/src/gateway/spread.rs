use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A value that threads hold for a while, each by a count of its own: they would wait for one that they share.
#[derive(Debug)]
pub(super) struct Spread<T>([Arc<Held<T>>; COUNTS]);

/// The value, for as long as somebody holds it. Counts do not share a line of the cache.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Held<T>(Arc<T>);

/// More than there are workers on most machines; further ones share.
const COUNTS: usize = 16;

impl<T> Spread<T> {
    pub(super) fn new(value: T) -> Self {
        let value = Arc::new(value);
        Self(std::array::from_fn(|_| Arc::new(Held(Arc::clone(&value)))))
    }

    /// The value, by this thread's count.
    pub(super) fn hold(&self) -> Arc<Held<T>> {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static THREAD: usize = THREADS.fetch_add(1, Ordering::Relaxed);
        }
        let [first, ..] = &self.0;
        // Where the thread ends already, any will do.
        let own = THREAD.try_with(|thread| self.0.get(thread % COUNTS)).ok().flatten();
        Arc::clone(own.unwrap_or(first))
    }
}

impl<T> Deref for Spread<T> {
    type Target = T;

    fn deref(&self) -> &T {
        let [first, ..] = &self.0;
        first
    }
}

impl<T> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_hold_one_value_by_different_counts() {
        let spread = Spread::new("value".to_owned());
        let (here, again) = (spread.hold(), spread.hold());
        assert!(Arc::ptr_eq(&here, &again));
        let there = std::thread::scope(|scope| scope.spawn(|| spread.hold()).join().unwrap());
        assert!(!Arc::ptr_eq(&here, &there));
        assert!(std::ptr::eq::<String>(&**here, &**there) && spread.len() == 5);
        drop(spread);
        assert_eq!(**there, "value");
    }
}

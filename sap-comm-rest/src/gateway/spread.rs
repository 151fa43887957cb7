use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A value for each thread, so that none waits for what another changes.
#[derive(Debug)]
pub(super) struct PerThread<T>([Apart<T>; THREADS]);

/// A value that threads hold for a while, each by a count of its own.
#[derive(Debug)]
pub(super) struct Spread<T>(PerThread<Arc<Held<T>>>);

/// The value of a [`Spread`], for as long as somebody holds it.
pub(super) type Held<T> = Apart<Arc<T>>;

/// What shares no line of the cache with anything else.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Apart<T>(T);

/// More than there are workers on most machines; further threads share with others.
const THREADS: usize = 16;

impl<T> PerThread<T> {
    pub(super) fn new(mut make: impl FnMut() -> T) -> Self {
        Self(std::array::from_fn(|_| Apart(make())))
    }

    /// This thread's.
    pub(super) fn own(&self) -> &T {
        static THREADS_SO_FAR: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static THREAD: usize = THREADS_SO_FAR.fetch_add(1, Ordering::Relaxed);
        }
        let [first, ..] = &self.0;
        // Where the thread ends already, any will do.
        THREAD.try_with(|thread| self.0.get(thread % THREADS)).ok().flatten().unwrap_or(first)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|apart| &**apart)
    }
}

impl<T> Spread<T> {
    pub(super) fn new(value: T) -> Self {
        let value = Arc::new(value);
        Self(PerThread::new(|| Arc::new(Apart(Arc::clone(&value)))))
    }

    /// The value, by this thread's count.
    pub(super) fn hold(&self) -> Arc<Held<T>> {
        Arc::clone(self.0.own())
    }
}

impl<T> Deref for Spread<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.own()
    }
}

impl<T> Deref for Apart<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_hold_one_value() {
        let spread = Spread::new("value".to_owned());
        let here = spread.hold();
        assert!(Arc::ptr_eq(&here, &spread.hold()));
        let there = std::thread::scope(|scope| scope.spawn(|| spread.hold()).join().unwrap());
        assert!(Arc::ptr_eq(&here.0, &there.0));
        drop((spread, here));
        assert_eq!(there.as_str(), "value");
    }

    #[test]
    fn threads_have_values_of_their_own() {
        let counts = PerThread::new(|| AtomicUsize::new(0));
        let count = || {
            counts.own().fetch_add(1, Ordering::Relaxed);
        };
        std::thread::scope(|scope| (0..2 * THREADS).for_each(|_| drop(scope.spawn(count))));
        let counts: Vec<_> = counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        assert_eq!(counts.iter().sum::<usize>(), 2 * THREADS);
        assert!(counts.iter().filter(|count| **count > 0).count() > 1, "{counts:?}");
    }
}

//! Numbers of threads: small, and no two living threads share one.

use std::{cell::Cell, collections::BTreeSet};

use parking_lot::Mutex;

/// The number of a thread that is ending: it has given its own back.
pub(crate) const NONE: usize = usize::MAX - 1;

const UNKNOWN: usize = usize::MAX;

thread_local! {
    static MINE: Cell<usize> = const { Cell::new(UNKNOWN) };
    static LOAN: Cell<Option<Loan>> = const { Cell::new(None) };
}

static NUMBERS: Mutex<Numbers> = Mutex::new(Numbers { free: BTreeSet::new(), next: 0 });

/// The calling thread's number: the smallest that no living thread has, from its first call to its end.
///
/// What a thread did under its number happened before the next one with that number begins.
#[inline]
pub(crate) fn thread_number() -> usize {
    match MINE.get() {
        UNKNOWN => borrow(),
        mine => mine,
    }
}

#[cold]
fn borrow() -> usize {
    let number = NUMBERS.lock().take();
    let kept = LOAN.try_with(|loan| loan.set(Some(Loan(number))));
    MINE.set(if kept.is_ok() { number } else { NONE });
    MINE.get()
}

/// As many numbers as threads ever called at once.
struct Numbers {
    free: BTreeSet<usize>,
    next: usize,
}

impl Numbers {
    fn take(&mut self) -> usize {
        self.free.pop_first().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        })
    }
}

/// Gives a number back when its thread ends.
struct Loan(usize);

impl Drop for Loan {
    fn drop(&mut self) {
        // What other destructors of this thread still record goes where all threads may.
        MINE.set(NONE);
        NUMBERS.lock().free.insert(self.0);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_its_number_and_gives_it_back() {
        let mine = thread_number();
        let other = std::thread::spawn(|| {
            assert_eq!(thread_number(), thread_number());
            thread_number()
        });
        assert_ne!(other.join().unwrap(), mine);
        assert_eq!(thread_number(), mine);
    }

    #[test]
    fn the_smallest_free_number_is_taken() {
        let mut numbers = Numbers { free: BTreeSet::new(), next: 0 };
        assert_eq!([numbers.take(), numbers.take(), numbers.take()], [0, 1, 2]);
        numbers.free.extend([1, 0]);
        assert_eq!([numbers.take(), numbers.take(), numbers.take()], [0, 1, 3]);
    }

    // Elsewhere the order of destructors is another.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_that_is_ending_has_none() {
        struct Late(std::sync::mpsc::Sender<usize>);
        impl Drop for Late {
            fn drop(&mut self) {
                self.0.send(thread_number()).unwrap();
            }
        }
        thread_local! {
            static LATE: Cell<Option<Late>> = const { Cell::new(None) };
        }
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(|| {
            // Registered before the loan, and so dropped after it.
            LATE.set(Some(Late(sender)));
            thread_number()
        });
        assert!(thread.join().unwrap() < NONE);
        assert_eq!(receiver.recv().unwrap(), usize::MAX - 1);
    }
}

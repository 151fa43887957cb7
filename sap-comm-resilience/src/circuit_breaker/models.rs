//! Models of the lock-free parts: loom tries every interleaving of two threads.

use std::sync::Arc;

use loom::thread;

use super::{
    consecutive::Consecutive,
    ramp::{Admission, Ramp},
    state::{Phase, StateWord},
    window::{Sample, Totals, Window},
};

const FAILED: Sample = Sample { failed: true, slow: false };
const OK: Sample = Sample { failed: false, slow: false };

/// Windows of ten nanoseconds in five buckets, and of two calls.
fn windows() -> [fn() -> Window; 2] {
    [|| Window::model_of_time(10, 5), || Window::model_of_calls(2)]
}

#[test]
fn of_two_transitions_from_one_reading_one_happens() {
    loom::model(|| {
        let word = Arc::new(StateWord::new());
        let seen = word.load();
        let other = Arc::clone(&word);
        let thread = thread::spawn(move || other.advance(seen, Phase::Open));
        let mine = word.advance(seen, Phase::Isolated);
        let theirs = thread.join().unwrap();
        assert!(mine.is_some() != theirs.is_some());
        assert_eq!(word.load().generation(), 1);
    });
}

#[test]
fn the_end_of_a_ramp_never_undoes_a_transition() {
    loom::model(|| {
        let word = Arc::new(StateWord::new());
        word.advance(word.load(), Phase::Ramping);
        let seen = word.load();
        let other = Arc::clone(&word);
        let thread = thread::spawn(move || other.end_ramp(seen));
        let opened = (0..2).find_map(|_| word.advance(word.load(), Phase::Open));
        thread.join().unwrap();
        assert!(opened.is_some());
        assert_eq!(word.load().phase(), Phase::Open);
    });
}

#[test]
fn of_two_threads_that_record_and_read_one_sees_both() {
    for window in windows() {
        loom::model(move || {
            let window = Arc::new(window());
            let other = Arc::clone(&window);
            let thread = thread::spawn(move || {
                other.record_as(1, 0, 1, FAILED);
                other.totals(0, 1).failed
            });
            window.record_as(0, 0, 1, FAILED);
            let mine = window.totals(0, 1).failed;
            let theirs = thread.join().unwrap();
            assert!(mine == 2 || theirs == 2, "{mine} and {theirs}");
            assert_eq!(window.totals(0, 1).failed, 2);
        });
    }
}

#[test]
fn a_late_sample_of_an_old_generation_is_not_seen() {
    // A stripe for each thread, and one for both.
    for (window, threads) in windows().into_iter().flat_map(|window| [(window, [0, 1]), (window, [1, 2])]) {
        loom::model(move || {
            let window = Arc::new(window());
            let other = Arc::clone(&window);
            let thread = thread::spawn(move || other.record_as(threads[0], 0, 1, FAILED));
            window.clear();
            window.record_as(threads[1], 1, 1, OK);
            thread.join().unwrap();
            assert_eq!(window.totals(1, 1), Totals { succeeded: 1, failed: 0, slow: 0 });
        });
    }
}

#[test]
fn a_late_sample_of_an_old_lap_is_not_seen() {
    loom::model(|| {
        let window = Arc::new(Window::model_of_time(10, 5));
        let other = Arc::clone(&window);
        let thread = thread::spawn(move || other.record_as(1, 0, 1, FAILED));
        // Eight buckets on, in the same place of the ring.
        window.record_as(2, 0, 17, OK);
        thread.join().unwrap();
        assert_eq!(window.totals(0, 17), Totals { succeeded: 1, failed: 0, slow: 0 });
    });
}

#[test]
fn two_failures_in_a_row_are_two() {
    loom::model(|| {
        let row = Arc::new(Consecutive::new());
        let other = Arc::clone(&row);
        let thread = thread::spawn(move || other.failed(1));
        let mine = row.failed(1);
        let theirs = thread.join().unwrap();
        assert_eq!(mine.max(theirs), 2);
        assert_eq!(row.get(1), 2);
    });
}

#[test]
fn the_last_place_of_a_step_goes_to_one_thread() {
    loom::model(|| {
        let ramp = Arc::new(Ramp::new());
        ramp.begin(0, 1_000);
        for _ in 0..9 {
            assert_eq!(ramp.admit(0), Admission::Admit);
        }
        let other = Arc::clone(&ramp);
        let thread = thread::spawn(move || other.admit(0));
        let admitted = [ramp.admit(0), thread.join().unwrap()];
        assert_eq!(admitted.into_iter().filter(|admission| *admission == Admission::Admit).count(), 1);
    });
}

#[test]
fn whoever_sees_the_recovery_sees_its_ramp() {
    loom::model(|| {
        let breaker = Arc::new((StateWord::new(), Ramp::new()));
        breaker.0.advance(breaker.0.load(), Phase::Open);
        let other = Arc::clone(&breaker);
        let thread = thread::spawn(move || {
            let ramping = other.0.load().phase() == Phase::Ramping;
            ramping.then(|| other.1.admit(100))
        });
        breaker.1.begin(100, 1_000);
        breaker.0.advance(breaker.0.load(), Phase::Ramping);
        assert_ne!(thread.join().unwrap(), Some(Admission::Over));
    });
}

#[test]
fn a_success_ends_a_row_only_before_or_after_a_failure() {
    loom::model(|| {
        let row = Arc::new(Consecutive::new());
        row.failed(1);
        let other = Arc::clone(&row);
        let thread = thread::spawn(move || other.failed(1));
        row.succeeded(1);
        let failures = thread.join().unwrap();
        // Either the success came between, or it came first or last.
        assert!(matches!((failures, row.get(1)), (1, 1) | (2, 2) | (2, 0)), "{failures} {}", row.get(1));
    });
}

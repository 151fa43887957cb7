//! Trap 23: what a budget holds.

use std::{sync::Arc, thread};

use super::super::{
    library::Library,
    verdict::{Verdict, Walk, ensure},
};

/// Sixty percent of a hundred calls are sixty retries, however many threads take them.
pub(in super::super) async fn overdraft(library: Library) -> Walk {
    let budget = library.sixty_percent()?;
    while budget.withdraw() {}
    for _ in 0..100 {
        budget.deposit();
    }
    let takers: Vec<_> = (0..4)
        .map(|_| {
            let budget = Arc::clone(&budget);
            thread::spawn(move || (0..1_000).filter(|_| budget.withdraw()).count())
        })
        .collect();
    let mut taken = 0;
    for taker in takers {
        taken += taker.join().map_err(|_| Verdict::failed("it panicked"))?;
    }
    ensure(taken == 60, format!("{taken} retries for 100 calls at 60 %"))
}

//! Runs a trap on threads of its own: a library that panics or deadlocks there harms nobody else.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
    thread,
    time::Duration,
};

use tokio::runtime::Builder;

use super::{library::Library, trap::Trap, verdict::Verdict};

/// Far longer than any trap takes that ends at all.
const LIMIT: Duration = Duration::from_secs(20);

/// What becomes of the trap. Whatever hangs is left behind.
pub(super) fn run(trap: Trap, library: Library) -> Verdict {
    let (sender, verdict) = mpsc::channel();
    thread::spawn(move || {
        let walked = catch_unwind(AssertUnwindSafe(|| walk(trap, library)));
        // Nobody listens any more: it took too long.
        let _ = sender.send(walked.unwrap_or_else(|panic| Verdict::Failed(format!("it panicked: {}", said(&*panic)))));
    });
    verdict.recv_timeout(LIMIT).unwrap_or_else(|_| Verdict::Failed(format!("it hung for {LIMIT:?}")))
}

fn walk(trap: Trap, library: Library) -> Verdict {
    let runtime = match Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Verdict::Failed(format!("no runtime: {error}")),
    };
    let walked = runtime.block_on(trap.program()(library));
    runtime.shutdown_background();
    walked.err().unwrap_or(Verdict::Passed)
}

fn said(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("?")
}

use std::{
    hint::black_box,
    io,
    time::{Duration, Instant},
};

use tokio::runtime::{Builder, Runtime};

use crate::BenchError;

/// Makes so many calls and tells how long they took together.
pub(super) type Runner = Box<dyn FnMut(u64) -> Result<Duration, BenchError>>;

/// Somebody whose calls are timed.
pub(super) struct Contestant {
    pub(super) name: &'static str,
    /// How it is called, for whoever reads the figures.
    pub(super) how: &'static str,
    /// On how many of a case's threads it runs.
    pub(super) threads: usize,
    /// Whether a row compares it with ours.
    pub(super) is_peer: bool,
    /// Makes the runner of one thread, in that thread.
    pub(super) enter: Box<dyn Fn() -> Result<Runner, BenchError> + Sync>,
}

impl Contestant {
    pub(super) fn new(
        name: &'static str,
        how: &'static str,
        threads: usize,
        enter: impl Fn() -> Result<Runner, BenchError> + Sync + 'static,
    ) -> Self {
        Self { name, how, threads, is_peer: true, enter: Box::new(enter) }
    }

    /// Ours, another way: shown, but without a row.
    pub(super) fn shown_only(self) -> Self {
        Self { is_peer: false, ..self }
    }
}

/// The call inside every breaker: it does nothing and succeeds, which the compiler cannot know.
///
/// Only whether it succeeds is hidden: a result that is hidden as a whole goes through memory, and reading it back in
/// other pieces than it was written in costs as much as a small breaker.
#[inline]
pub(super) fn no_op() -> io::Result<u32> {
    if black_box(true) { Ok(7) } else { Err(io::ErrorKind::Other.into()) }
}

/// The same for those that take a future.
#[inline]
pub(super) async fn no_op_async() -> io::Result<u32> {
    no_op()
}

/// Uses a call's result as its caller would: looks whether it succeeded.
#[inline]
pub(super) fn pass<T, E>(result: &Result<T, E>) {
    black_box(result.is_ok());
}

/// Times a plain call.
pub(super) fn plain(mut call: impl FnMut() + 'static) -> Runner {
    Box::new(move |calls| {
        let start = Instant::now();
        for _ in 0..calls {
            call();
        }
        Ok(start.elapsed())
    })
}

/// Times a call that is awaited, on a runtime of this thread's own.
pub(super) fn awaited(mut call: impl AsyncFnMut() + 'static) -> Result<Runner, BenchError> {
    let runtime = runtime()?;
    Ok(Box::new(move |calls| {
        Ok(runtime.block_on(async {
            let start = Instant::now();
            for _ in 0..calls {
                call().await;
            }
            start.elapsed()
        }))
    }))
}

pub(super) fn runtime() -> Result<Runtime, BenchError> {
    Builder::new_current_thread().enable_all().build().map_err(BenchError::refused("build a runtime"))
}

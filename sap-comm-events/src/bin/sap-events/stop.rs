//! Ctrl-C and SIGTERM: the first asks for an end in good order, the second ends at once.

use std::{
    process::exit,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::task::AbortOnDropHandle;

/// What a shell shows for a command that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Whether an end was asked for.
#[derive(Debug)]
pub(crate) struct Stop {
    asked: Arc<AtomicBool>,
    _signals: AbortOnDropHandle<()>,
}

impl Stop {
    pub(crate) fn listen() -> std::io::Result<Self> {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let asked = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&asked);
        let signals = tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if seen.swap(true, Ordering::SeqCst) {
                    exit(INTERRUPTED);
                }
                eprintln!("ending; once more ends at once");
            }
        });
        Ok(Self { asked, _signals: AbortOnDropHandle::new(signals) })
    }

    /// Tells whoever cannot wait for it.
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.asked)
    }
}

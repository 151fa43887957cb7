use tokio::signal::unix::{Signal, SignalKind, signal};

use super::ServiceError;

/// Ctrl-C and SIGTERM, caught from the moment that this is installed.
pub(super) struct StopSignal {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignal {
    pub(super) fn install(service: &str) -> Result<Self, ServiceError> {
        let install = |kind| {
            signal(kind).map_err(|error| ServiceError::Signal { service: service.to_owned(), source: error.into() })
        };
        Ok(Self { interrupt: install(SignalKind::interrupt())?, terminate: install(SignalKind::terminate())? })
    }

    /// Waits for one of them.
    pub(super) async fn arrived(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

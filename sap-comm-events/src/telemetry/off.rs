use std::sync::Arc;

use sap_comm_core::{Context, Event};

use super::Received;
use crate::{PublishError, backend::Backend, message::Message, topology::Target};

/// Measures nothing.
#[derive(Debug)]
pub(crate) struct Telemetry;

/// Not measured.
pub(crate) struct Sending;

/// Not measured.
pub(crate) struct Processing;

impl Telemetry {
    pub(crate) fn new(_system: &'static str, _backend: &Arc<dyn Backend>) -> Self {
        Self
    }

    pub(crate) fn send<T>(
        &self,
        _target: &Target,
        _event: &Event<T>,
        _size: usize,
        context: Context,
    ) -> (Context, Sending) {
        (context, Sending)
    }

    pub(crate) fn consumed(&self, _received: &Received<'_>, _count: usize) {}

    pub(crate) fn process(
        &self,
        _message: &Message,
        _received: &Received<'_>,
        context: Context,
    ) -> (Context, Processing) {
        (context, Processing)
    }

    pub(crate) fn process_batch<'a>(
        &self,
        _messages: impl ExactSizeIterator<Item = &'a Message>,
        _received: &Received<'_>,
        context: Context,
    ) -> (Context, Processing) {
        (context, Processing)
    }
}

impl Sending {
    pub(crate) fn end(self, _outcome: Result<(), &PublishError>) {}
}

impl Processing {
    pub(crate) fn watch<F: Future>(
        self,
        handling: F,
        _failure: impl Fn(&F::Output) -> Option<&str>,
    ) -> impl Future<Output = F::Output> {
        handling
    }
}

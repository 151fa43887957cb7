use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

pin_project! {
    /// A call within a context, if there is one.
    pub(crate) struct Scoped<F> {
        #[pin]
        call: F,
        context: Option<sap_comm_core::Context>,
    }
}

impl<F> Scoped<F> {
    /// Begins the call in its context.
    #[inline]
    pub(crate) fn begin(context: Option<sap_comm_core::Context>, begin: impl FnOnce() -> F) -> Self {
        let call = within(&context, begin);
        Self { call, context }
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        within(this.context, || this.call.poll(cx))
    }
}

/// Runs the caller's code in a context, if there is one.
#[inline]
pub(crate) fn within<R>(context: &Option<sap_comm_core::Context>, run: impl FnOnce() -> R) -> R {
    match context {
        Some(context) => context.clone().sync_scope(run),
        None => run(),
    }
}

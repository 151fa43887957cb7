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
    #[inline]
    pub(crate) fn new(context: Option<sap_comm_core::Context>, call: F) -> Self {
        Self { call, context }
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.context {
            Some(context) => context.clone().sync_scope(|| this.call.poll(cx)),
            None => this.call.poll(cx),
        }
    }
}

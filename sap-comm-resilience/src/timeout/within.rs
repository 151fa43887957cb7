use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use crate::timer::{Limit, Timer};

pin_project! {
    /// A call within its limit, if it has one: `None` once that is over.
    pub(crate) struct Within<F> {
        #[pin]
        call: F,
        #[pin]
        timer: Timer,
    }
}

impl<F> Within<F> {
    #[inline]
    pub(crate) fn new(limit: impl Into<Option<Limit>>, call: F) -> Self {
        Self { call, timer: Timer::new(limit) }
    }
}

impl<F: Future> Future for Within<F> {
    type Output = Option<F::Output>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.call.poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if this.timer.elapsed(cx) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

use std::{
    future::Future,
    ops::Deref,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{engine::Engine, permit::Held};
use crate::classify::{Classify, Outcome};

pin_project! {
    /// An admitted call, which settles its permit when it ends.
    pub(crate) struct Watched<'c, H, F, C>
    where
        H: Deref<Target = Engine>,
    {
        #[pin]
        call: F,
        permit: Held<H>,
        classifier: &'c C,
    }
}

impl<'c, H, F, C> Watched<'c, H, F, C>
where
    H: Deref<Target = Engine>,
{
    #[inline]
    pub(crate) fn new(permit: Held<H>, call: F, classifier: &'c C) -> Self {
        Self { call, permit, classifier }
    }
}

impl<H, F, C, T, E> Future for Watched<'_, H, F, C>
where
    H: Deref<Target = Engine>,
    F: Future<Output = Result<T, E>>,
    C: Classify<T, E>,
{
    type Output = Result<T, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (permit, call) = (this.permit, this.call);
        let result = ready!(permit.watch(|| call.poll(cx)));
        let outcome: Outcome = this.classifier.classify(&result);
        permit.settle(outcome);
        Poll::Ready(result)
    }
}

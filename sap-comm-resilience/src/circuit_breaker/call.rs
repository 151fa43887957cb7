use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;

use super::{BreakerError, engine::Engine, permit::Held};
use crate::classify::Classify;

pin_project! {
    /// A plain call through a breaker.
    ///
    /// Written by hand, so that it becomes part of its caller's code: an `async fn` hands its result over in memory,
    /// which costs half as much as reading the clock.
    pub(super) struct Call<'a, 'c, C, O, F> {
        classifier: &'c C,
        #[pin]
        step: Step<'a, O, F>,
    }
}

pin_project! {
    #[project = StepProj]
    enum Step<'a, O, F> {
        Begin { engine: &'a Engine, op: Option<O> },
        Calling {
            // Dropped before the permit: whoever takes the slot next must not meet it.
            #[pin]
            call: F,
            permit: Held<&'a Engine>,
        },
        Over,
    }
}

impl<'a, 'c, C, O, F> Call<'a, 'c, C, O, F>
where
    O: FnOnce() -> F,
{
    #[inline]
    pub(super) fn new(engine: &'a Engine, classifier: &'c C, op: O) -> Self {
        Self { classifier, step: Step::Begin { engine, op: Some(op) } }
    }
}

impl<C, O, F, T, E> Future for Call<'_, '_, C, O, F>
where
    C: Classify<T, E>,
    O: FnOnce() -> F,
    F: Future<Output = Result<T, E>>,
    E: 'static,
{
    type Output = Result<T, BreakerError<E>>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let StepProj::Begin { engine, op } = this.step.as_mut().project() {
            let engine = *engine;
            let Some(op) = op.take() else { return Poll::Pending };
            let mut permit = match engine.admit() {
                Ok(pass) => Held::waiting(engine, pass),
                Err(after) => return Poll::Ready(Err(BreakerError::open(|| engine.rejected(after)))),
            };
            let call = permit.watch(op);
            this.step.set(Step::Calling { permit, call });
        }
        let StepProj::Calling { permit, call } = this.step.as_mut().project() else { return Poll::Pending };
        let result = ready!(permit.watch_poll(call, cx));
        permit.settle(this.classifier.judge(&result));
        this.step.set(Step::Over);
        Poll::Ready(result.map_err(BreakerError::inner))
    }
}

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::stream::{FuturesUnordered, Stream};
use pin_project_lite::pin_project;

use super::Hedge;
use crate::{
    classify::{Classify, Outcome},
    timer::{Limit, Timer},
};

/// Makes the extra calls.
pub(crate) trait Spares<F> {
    /// Whether there is another call to make, asked before the budget pays for it.
    fn has_spare(&self) -> bool;

    /// Another call like the first; `None` if it must not be made twice.
    fn spare(&mut self) -> Option<F>;
}

pin_project! {
    /// The first call, and extra ones when it takes long.
    ///
    /// The first answer wins. A failed extra call never does, as long as another is in flight; if all fail, the first
    /// call's result stands. Whoever loses is dropped with the race.
    pub(crate) struct Race<F, S, C, R>
    where
        F: Future<Output = R>,
    {
        #[pin]
        first: F,
        failed: Option<R>,
        extra: Option<FuturesUnordered<F>>,
        #[pin]
        timer: Timer,
        left: u32,
        spares: S,
        hedge: Hedge,
        classifier: C,
    }
}

impl<F: Future<Output = R>, S, C, R> Race<F, S, C, R> {
    pub(super) fn new(hedge: Hedge, first: F, spares: S, classifier: C) -> Self {
        hedge.inner.budget.deposit();
        let config = &hedge.inner.config;
        let (timer, left) = (Timer::new(Limit::After(config.delay)), config.max_hedges);
        Self { first, failed: None, extra: None, timer, left, spares, hedge, classifier }
    }
}

impl<F, S, C, T, E> Future for Race<F, S, C, Result<T, E>>
where
    F: Future<Output = Result<T, E>>,
    S: Spares<F>,
    C: Classify<T, E>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            if this.failed.is_none()
                && let Poll::Ready(result) = this.first.as_mut().poll(cx)
            {
                let alone = this.extra.as_ref().is_none_or(FuturesUnordered::is_empty);
                if alone || answers(this.classifier, &result) {
                    return Poll::Ready(result);
                }
                *this.failed = Some(result);
            }
            if let Some(extra) = this.extra {
                while let Poll::Ready(Some(result)) = Pin::new(&mut *extra).poll_next(cx) {
                    if answers(this.classifier, &result) {
                        tracing::debug!("an extra call answered first");
                        return Poll::Ready(result);
                    }
                }
                if extra.is_empty()
                    && let Some(result) = this.failed.take()
                {
                    return Poll::Ready(result);
                }
            }
            let due = *this.left > 0 && this.failed.is_none() && this.timer.as_mut().elapsed(cx);
            if !due {
                return Poll::Pending;
            }
            *this.left -= 1;
            let paid = this.spares.has_spare() && this.hedge.inner.budget.try_withdraw();
            let spare = if paid { this.spares.spare() } else { None };
            match spare {
                Some(call) => {
                    this.extra.get_or_insert_with(FuturesUnordered::new).push(call);
                    this.timer.as_mut().set(Some(Limit::After(this.hedge.inner.config.delay)));
                }
                None => *this.left = 0,
            }
        }
    }
}

/// The caller's own mistake is an answer too: another call would hear the same.
fn answers<C: Classify<T, E>, T, E>(classifier: &C, result: &Result<T, E>) -> bool {
    matches!(classifier.classify(result), Outcome::Success | Outcome::Ignored)
}

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::stream::{FuturesUnordered, Stream};
use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::Hedge;
use crate::{
    Deadline,
    classify::Outcome,
    scoped::Scoped,
    timer::{Limit, Timer},
};

/// Makes the extra calls, and judges results.
pub(crate) trait Spares<F: Future> {
    /// Whether there is another call to make, asked before the budget pays for it.
    fn has_spare(&self) -> bool;

    /// Another call like the first; `None` if it must not be made twice.
    fn spare(&mut self) -> Option<Scoped<F>>;

    /// What a result means.
    fn judge(&self, result: &F::Output) -> Outcome;
}

pin_project! {
    /// The first call, and extra ones when it takes long.
    ///
    /// The first answer wins. A failed extra call never does, as long as another is in flight; if all fail, the first
    /// call's result stands. Whoever loses is dropped with the race.
    pub(crate) struct Race<F>
    where
        F: Future,
    {
        #[pin]
        first: Scoped<F>,
        // From the first wait on, if there is a hedge.
        waiting: Option<Pin<Box<Waiting<F>>>>,
    }
}

pin_project! {
    struct Waiting<F>
    where
        F: Future,
    {
        failed: Option<F::Output>,
        extra: Option<FuturesUnordered<Scoped<F>>>,
        #[pin]
        timer: Timer,
        left: u32,
    }
}

impl<F: Future> Race<F> {
    /// Pays into the budget. Without a hedge the first call runs alone.
    #[inline]
    pub(crate) fn new(hedge: Option<&Hedge>, first: Scoped<F>) -> Self {
        if let Some(hedge) = hedge {
            hedge.inner.budget.deposit();
        }
        Self { first, waiting: None }
    }

    /// The result of the race, which must be polled with the same hedge every time.
    #[inline]
    pub(crate) fn poll(
        self: Pin<&mut Self>,
        hedge: Option<&Hedge>,
        spares: &mut impl Spares<F>,
        cx: &mut Context<'_>,
    ) -> Poll<F::Output> {
        match hedge {
            Some(hedge) => self.poll_hedged(hedge, spares, cx),
            None => self.project().first.poll(cx),
        }
    }

    fn poll_hedged(
        self: Pin<&mut Self>,
        hedge: &Hedge,
        spares: &mut impl Spares<F>,
        cx: &mut Context<'_>,
    ) -> Poll<F::Output> {
        let mut this = self.project();
        loop {
            if this.waiting.as_ref().is_none_or(|waiting| waiting.failed.is_none())
                && let Poll::Ready(result) = this.first.as_mut().poll(cx)
            {
                let waiting = this.waiting.as_mut().map(|waiting| waiting.as_mut().project());
                match waiting.filter(|waiting| waiting.extra.as_ref().is_some_and(|extra| !extra.is_empty())) {
                    Some(waiting) if !answers(spares, &result) => *waiting.failed = Some(result),
                    _ => return Poll::Ready(result),
                }
            }
            let mut waiting = this.waiting.get_or_insert_with(|| Box::pin(Waiting::new(hedge))).as_mut().project();
            if let Some(extra) = waiting.extra {
                while let Poll::Ready(Some(result)) = Pin::new(&mut *extra).poll_next(cx) {
                    if answers(spares, &result) {
                        tracing::debug!("an extra call answered first");
                        return Poll::Ready(result);
                    }
                }
                if extra.is_empty()
                    && let Some(result) = waiting.failed.take()
                {
                    return Poll::Ready(result);
                }
            }
            let due = *waiting.left > 0 && waiting.failed.is_none() && waiting.timer.as_mut().elapsed(cx);
            if !due {
                return Poll::Pending;
            }
            *waiting.left -= 1;
            match spare(hedge, spares) {
                Some(call) => {
                    waiting.extra.get_or_insert_with(FuturesUnordered::new).push(call);
                    waiting.timer.as_mut().set(Some(Limit::After(hedge.inner.config.delay)));
                }
                None => *waiting.left = 0,
            }
        }
    }
}

impl<F: Future> Waiting<F> {
    fn new(hedge: &Hedge) -> Self {
        let config = &hedge.inner.config;
        Self { failed: None, extra: None, timer: Timer::new(Limit::After(config.delay)), left: config.max_hedges }
    }
}

/// An extra call, if anybody still waits for its answer, it may be made twice, and the budget pays for it.
fn spare<F: Future>(hedge: &Hedge, spares: &mut impl Spares<F>) -> Option<Scoped<F>> {
    let late = Deadline::current().is_some_and(|deadline| deadline <= Instant::now());
    let paid = !late && spares.has_spare() && hedge.inner.budget.try_withdraw();
    if paid { spares.spare() } else { None }
}

/// The caller's own mistake is an answer too: another call would hear the same.
fn answers<F: Future>(spares: &impl Spares<F>, result: &F::Output) -> bool {
    matches!(spares.judge(result), Outcome::Success | Outcome::Ignored)
}

pin_project! {
    /// A race of its own.
    pub(crate) struct Hedged<F, S>
    where
        F: Future,
    {
        #[pin]
        race: Race<F>,
        spares: S,
        hedge: Hedge,
    }
}

impl<F: Future, S> Hedged<F, S> {
    pub(super) fn new(hedge: Hedge, first: Scoped<F>, spares: S) -> Self {
        Self { race: Race::new(Some(&hedge), first), spares, hedge }
    }
}

impl<F: Future, S: Spares<F>> Future for Hedged<F, S> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        this.race.poll(Some(this.hedge), this.spares, cx)
    }
}

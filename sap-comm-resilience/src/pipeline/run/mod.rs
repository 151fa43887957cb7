//! A call on its way through the strategies.
//!
//! One state machine, not nested futures: each of those would hold the one inside it twice, and the whole would be a
//! hundred times the size of an attempt.

mod steps;

use std::{
    future::Future,
    ops::ControlFlow::{self, Break, Continue},
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use steps::refuse;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep},
};

use super::{
    PipelineError,
    attempts::{Attempts, Sender, Verdict},
    holder::{Holder, Settle},
};
use crate::{
    BulkheadFull, ConcurrencyLimited, ConcurrencyPermit, RateLimited, ThrottlePermit,
    classify::Outcome,
    hedge::Race,
    numbering::Numbering,
    retry::Session,
    scoped::within,
    timer::{Limit, Timer},
};

/// A wait in a queue: the only thing that allocates.
type Wait<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

pin_project! {
    /// A call, what it holds, and what bounds it.
    #[project = RunProj]
    pub(super) struct Run<H, A>
    where
        H: Holder,
        A: Attempts,
    {
        holder: H,
        attempts: A,
        request: Option<A::Request>,
        #[pin]
        step: Step<A::Attempt>,
        // The context of the call, with its deadline.
        context: Option<sap_comm_core::Context>,
        #[pin]
        deadline: Timer,
        seat: Option<H::Seat>,
        // Of the call or of the attempt, as the pipeline says.
        permit: Option<H::Permit>,
        session: Option<Session>,
        numbering: Numbering,
        leave: Option<ThrottlePermit>,
        place: Option<ConcurrencyPermit>,
        // Around all attempts or one, as the pipeline says.
        #[pin]
        timeout: Timer,
    }
}

pin_project! {
    #[project = StepProj]
    enum Step<F>
    where
        F: Future,
    {
        Begin,
        Paced { wait: Wait<(), RateLimited> },
        Enter,
        Queued { wait: Wait<OwnedSemaphorePermit, BulkheadFull> },
        Guard,
        Attempt,
        Crowded { wait: Wait<ConcurrencyPermit, ConcurrencyLimited> },
        Send,
        Calling { #[pin] race: Race<F> },
        Resting { #[pin] sleep: Sleep },
        Over,
    }
}

impl<H: Holder, A: Attempts> Run<H, A> {
    pub(super) fn new(holder: H, attempts: A, request: A::Request) -> Self {
        Self {
            holder,
            attempts,
            request: Some(request),
            step: Step::Begin,
            context: None,
            deadline: Timer::new(None),
            seat: None,
            permit: None,
            session: None,
            numbering: Numbering::default(),
            leave: None,
            place: None,
            timeout: Timer::new(None),
        }
    }
}

impl<H, A> Future for Run<H, A>
where
    H: Holder,
    A: Attempts,
    A::Error: 'static,
{
    type Output = Ended<A>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended<A>> {
        if let (Step::Begin, Some(deadline)) = (&self.step, self.holder.deadline) {
            let (context, at) = deadline.enter();
            if at.is_some_and(|at| at <= Instant::now()) {
                return self.end((None, Err(PipelineError::deadline_exceeded())));
            }
            let this = self.as_mut().project();
            *this.context = Some(context);
            this.deadline.set(at.map(Limit::At));
        }
        let context = self.context.clone();
        if let Poll::Ready(ended) = within(&context, || self.as_mut().advance(cx)) {
            return self.end(ended);
        }
        let this = self.as_mut().project();
        if !this.holder.timeout_per_attempt && this.timeout.elapsed(cx) {
            let timed_out = this.holder.timed_out();
            return self.end((Some(Outcome::Failure), Err(timed_out)));
        }
        if this.deadline.elapsed(cx) {
            return self.end((None, Err(PipelineError::deadline_exceeded())));
        }
        Poll::Pending
    }
}

impl<H, A> Run<H, A>
where
    H: Holder,
    A: Attempts,
    A::Error: 'static,
{
    /// Drops the attempt, gives everything back, and tells a breaker around the call how it ended.
    fn end(self: Pin<&mut Self>, (outcome, result): Ended<A>) -> Poll<Ended<A>> {
        let mut this = self.project();
        let cut = outcome.filter(|_| matches!(this.step.as_mut().project(), StepProj::Calling { .. }));
        this.step.set(Step::Over);
        // An attempt that the timeout around all of them cut was slow, whoever else counts it.
        if let (Some(outcome), Some(leave)) = (cut, this.leave.take()) {
            leave.settle(outcome);
        }
        if let (Some(_), Some(place)) = (cut, this.place.take()) {
            place.overloaded();
        }
        (*this.leave, *this.place) = (None, None);
        let permit = this.permit.take().filter(|_| !this.holder.breaker_per_attempt);
        if let (Some(permit), Some(outcome)) = (permit, outcome) {
            permit.settle(outcome);
        }
        *this.seat = None;
        Poll::Ready((outcome, result))
    }

    /// As far as it goes.
    fn advance(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended<A>> {
        let mut this = self.project();
        loop {
            let next = match this.step.as_mut().project() {
                StepProj::Begin => this.pace(),
                StepProj::Paced { wait } => match ready!(wait.as_mut().poll(cx)) {
                    Ok(()) => Continue(Step::Enter),
                    Err(limited) => refuse::<A>(PipelineError::limited(limited)),
                },
                StepProj::Enter => this.enter(),
                StepProj::Queued { wait } => match ready!(wait.as_mut().poll(cx)) {
                    Ok(slot) => {
                        *this.seat = Some(slot.into());
                        Continue(Step::Guard)
                    }
                    Err(full) => refuse::<A>(PipelineError::full(full)),
                },
                StepProj::Guard => this.guard(),
                StepProj::Attempt => this.admit().unwrap_or_else(|refused| this.settle(Err(refused))),
                StepProj::Crowded { wait } => match ready!(wait.as_mut().poll(cx)) {
                    Ok(place) => {
                        *this.place = Some(place);
                        Continue(Step::Send)
                    }
                    Err(limited) => this.settle(Err(PipelineError::saturated(limited))),
                },
                StepProj::Send => match this.request.take() {
                    Some(request) => this.send(request),
                    None => return Poll::Pending,
                },
                StepProj::Calling { race } => {
                    let mut sender = Sender { attempts: &mut *this.attempts, numbering: &mut *this.numbering };
                    let poll = || race.poll(this.holder.hedge.as_ref(), &mut sender, cx);
                    let polled = match this.permit {
                        Some(permit) => permit.watch(poll),
                        None => poll(),
                    };
                    let result = match polled {
                        Poll::Ready(result) => result.map_err(PipelineError::inner),
                        Poll::Pending => {
                            let over = this.holder.timeout_per_attempt && this.timeout.as_mut().elapsed(cx);
                            if !over {
                                return Poll::Pending;
                            }
                            Err(this.holder.timed_out())
                        }
                    };
                    this.settle(result)
                }
                StepProj::Resting { sleep } => {
                    ready!(sleep.poll(cx));
                    Continue(Step::Attempt)
                }
                StepProj::Over => return Poll::Pending,
            };
            match next {
                Continue(next) => this.step.set(next),
                Break(ended) => return Poll::Ready(ended),
            }
        }
    }
}

/// What a call came to, and its outcome if it got past a breaker around it.
pub(super) type Ended<A> = (Option<Outcome>, Verdict<A>);

type Next<A> = ControlFlow<Ended<A>, Step<<A as Attempts>::Attempt>>;

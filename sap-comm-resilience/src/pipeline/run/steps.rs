//! What a call does from one wait to the next.

use std::ops::ControlFlow::{Break, Continue};

use tokio::time::{Instant, sleep};

use super::{
    super::{
        PipelineError,
        attempts::{Attempts, Sender, Verdict, judge},
        holder::{Holder, Settle},
    },
    Limit, Next, RunProj, Step,
};
use crate::{Retry, hedge::Race, retry::Session};

impl<H, A> RunProj<'_, H, A>
where
    H: Holder,
    A: Attempts,
    A::Error: 'static,
{
    pub(super) fn pace(&self) -> Next<A> {
        let Some(limit) = &self.holder.rate_limit else { return Continue(Step::Enter) };
        match limit.check() {
            Ok(()) => Continue(Step::Enter),
            Err(limited) if limit.max_wait().is_zero() => refuse::<A>(PipelineError::limited(limited)),
            Err(_) => {
                let limit = limit.clone();
                Continue(Step::Paced { wait: Box::pin(async move { limit.acquire().await }) })
            }
        }
    }

    pub(super) fn enter(&mut self) -> Next<A> {
        let Some(bulkhead) = &self.holder.bulkhead else { return Continue(Step::Guard) };
        *self.seat = self.holder.seat();
        Continue(match self.seat {
            Some(_) => Step::Guard,
            None if bulkhead.max_queue() == 0 => return refuse::<A>(PipelineError::full(bulkhead.full())),
            None => Step::Queued { wait: Box::pin(bulkhead.clone().acquire_owned()) },
        })
    }

    /// Through what stands around all attempts.
    pub(super) fn guard(&mut self) -> Next<A> {
        let parts = &**self.holder;
        if !parts.breaker_per_attempt
            && let Some(admitted) = self.holder.admit()
        {
            match admitted {
                Ok(permit) => *self.permit = Some(permit),
                Err(rejected) => return refuse::<A>(PipelineError::open(rejected)),
            }
        }
        let whole = parts.timeout.filter(|_| !parts.timeout_per_attempt).map(|timeout| timeout.duration());
        let until = whole.filter(|_| parts.retry.is_some()).and_then(|whole| Instant::now().checked_add(whole));
        self.timeout.as_mut().set(until.map(Limit::At).or(whole.map(Limit::After)));
        *self.session = parts.retry.as_ref().map(|retry| Session::begin(retry, until));
        Continue(Step::Attempt)
    }

    /// Through what stands around an attempt.
    pub(super) fn admit(&mut self) -> Result<Next<A>, PipelineError<A::Error>> {
        let parts = &**self.holder;
        if let Some(request) = self.request.as_ref().filter(|_| parts.retry.is_some() || parts.hedge.is_some()) {
            self.attempts.keep(request, parts.retry.as_ref().is_some_and(Retry::repeats_unsent));
        }
        if parts.breaker_per_attempt {
            *self.permit = self.holder.admit().transpose().map_err(PipelineError::open)?;
        }
        if let Some(throttle) = &parts.throttle {
            *self.leave = Some(throttle.try_acquire().map_err(PipelineError::throttled)?);
        }
        if let Some(limit) = &parts.concurrency {
            match limit.try_acquire() {
                Ok(place) => *self.place = Some(place),
                Err(limited) if limit.max_queue() == 0 => return Err(PipelineError::saturated(limited)),
                Err(_) => {
                    let limit = limit.clone();
                    return Ok(Continue(Step::Crowded { wait: Box::pin(async move { limit.acquire().await }) }));
                }
            }
        }
        Ok(Continue(Step::Send))
    }

    pub(super) fn send(&mut self, request: A::Request) -> Next<A> {
        if self.holder.timeout_per_attempt {
            let timeout = self.holder.timeout.map(|timeout| Limit::After(timeout.duration()));
            self.timeout.as_mut().set(timeout);
        }
        let mut sender = Sender { attempts: &mut *self.attempts, numbering: &mut *self.numbering };
        let send = || sender.send(request);
        let call = match self.permit {
            Some(permit) => permit.watch(send),
            None => send(),
        };
        Continue(Step::Calling { race: Race::new(self.holder.hedge.as_ref(), call) })
    }

    /// An attempt came to this: everybody hears of it, and it is made again or ends the call.
    pub(super) fn settle(&mut self, result: Verdict<A>) -> Next<A> {
        self.step.set(Step::Over);
        let parts = &**self.holder;
        if parts.timeout_per_attempt {
            self.timeout.as_mut().set(None);
        }
        let (outcome, result) = judge(self.attempts, result);
        if let (Some(limit), Some(place)) = (&parts.concurrency, self.place.take()) {
            place.settle(limit.judge(outcome, result.as_ref().err()));
        }
        if let Some(leave) = self.leave.take() {
            leave.settle(outcome);
        }
        if parts.breaker_per_attempt
            && let Some(permit) = self.permit.take()
        {
            permit.settle(outcome);
        }
        if let (Some(retry), Some(session)) = (&parts.retry, self.session.as_mut())
            && self.attempts.may_repeat(retry.was_unsent(result.as_ref().err()))
            && let Some(delay) = session.next(retry, outcome, result.as_ref().err())
            && let Some(request) = self.attempts.repeat()
        {
            *self.request = Some(request);
            return Continue(Step::Resting { sleep: sleep(delay) });
        }
        Break((Some(outcome), result))
    }
}

pub(super) fn refuse<A: Attempts>(refused: PipelineError<A::Error>) -> Next<A> {
    Break((None, Err(refused)))
}

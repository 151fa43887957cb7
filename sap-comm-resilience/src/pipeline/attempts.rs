use std::future::Future;

use tower_service::Service;

use super::PipelineError;
use crate::{
    Replay,
    classify::{Classify, Outcome},
    hedge::Spares,
    numbering::Numbering,
    retry::Kept,
    scoped::Scoped,
    service::ReadyCall,
};

/// Makes and judges the attempts of one call: of a closure, or of a request to a service.
pub(super) trait Attempts {
    type Request;
    type Response;
    type Error;
    type Attempt: Future<Output = Result<Self::Response, Self::Error>>;

    /// Keeps a copy of what is about to be sent, if it may be sent twice, or also if it may not, for errors that say
    /// that nothing was sent.
    fn keep(&mut self, request: &Self::Request, unsent_too: bool);

    /// Whether what was kept can still be sent after an attempt; `unsent`: certainly nothing of it left.
    fn may_repeat(&self, unsent: bool) -> bool;

    /// Takes out what was kept, and gives up what was sent before.
    fn repeat(&mut self) -> Option<Self::Request>;

    /// Whether there is a copy to send beside the attempt under way.
    fn may_race(&self) -> bool;

    /// A copy to send beside the attempt under way.
    fn spare(&mut self) -> Option<Self::Request>;

    /// Begins an attempt.
    fn send(&mut self, request: Self::Request) -> Self::Attempt;

    /// What the result of an attempt means.
    fn classify(&self, result: &Result<Self::Response, Self::Error>) -> Outcome;
}

/// What a call or an attempt comes to in a pipeline.
pub(super) type Verdict<A> = Result<<A as Attempts>::Response, PipelineError<<A as Attempts>::Error>>;

/// What a result in the middle of a pipeline means; the caller's classifier sees only its own results.
pub(super) fn judge<A: Attempts>(attempts: &A, result: Verdict<A>) -> (Outcome, Verdict<A>) {
    let own = match result {
        Ok(value) => Ok(value),
        Err(PipelineError::Inner(error)) => Err(error),
        Err(error) if error.is_rejection() => return (Outcome::Rejected, Err(error)),
        Err(error) => return (Outcome::Failure, Err(error)),
    };
    (attempts.classify(&own), own.map_err(PipelineError::Inner))
}

/// Sends the requests of one call under their numbers.
pub(super) struct Sender<'r, A> {
    pub(super) attempts: &'r mut A,
    pub(super) numbering: &'r mut Numbering,
}

impl<A: Attempts> Sender<'_, A> {
    pub(super) fn send(&mut self, request: A::Request) -> Scoped<A::Attempt> {
        Scoped::begin(self.numbering.next(), || self.attempts.send(request))
    }
}

impl<A: Attempts> Spares<A::Attempt> for Sender<'_, A> {
    fn has_spare(&self) -> bool {
        self.attempts.may_race()
    }

    fn spare(&mut self) -> Option<Scoped<A::Attempt>> {
        let request = self.attempts.spare()?;
        Some(self.send(request))
    }

    fn judge(&self, result: &Result<A::Response, A::Error>) -> Outcome {
        self.attempts.classify(result)
    }
}

/// A closure, called for every attempt.
pub(super) struct Calls<'c, F, C> {
    pub(super) op: F,
    pub(super) classifier: &'c C,
}

impl<F, Fut, C, T, E> Attempts for Calls<'_, F, C>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
    C: Classify<T, E>,
{
    type Request = ();
    type Response = T;
    type Error = E;
    type Attempt = Fut;

    fn keep(&mut self, (): &(), _: bool) {}

    fn may_repeat(&self, _: bool) -> bool {
        true
    }

    fn repeat(&mut self) -> Option<()> {
        Some(())
    }

    fn may_race(&self) -> bool {
        true
    }

    fn spare(&mut self) -> Option<()> {
        Some(())
    }

    fn send(&mut self, (): ()) -> Fut {
        (self.op)()
    }

    fn classify(&self, result: &Result<T, E>) -> Outcome {
        self.classifier.judge(result)
    }
}

/// A service that is called with copies of a request.
pub(super) struct Requests<S, Req, P, C> {
    pub(super) service: S,
    pub(super) replay: P,
    pub(super) classifier: C,
    pub(super) kept: Kept<Req>,
}

impl<S, Req, P, C> Attempts for Requests<S, Req, P, C>
where
    S: Service<Req> + Clone,
    P: Replay<Req>,
    C: Classify<S::Response, S::Error>,
{
    type Request = Req;
    type Response = S::Response;
    type Error = S::Error;
    type Attempt = ReadyCall<S, Req>;

    fn keep(&mut self, request: &Req, unsent_too: bool) {
        self.kept = Kept::of(&self.replay, request, unsent_too);
    }

    fn may_repeat(&self, unsent: bool) -> bool {
        self.kept.may_repeat(&self.replay, unsent)
    }

    fn repeat(&mut self) -> Option<Req> {
        self.kept.take(&self.replay)
    }

    fn may_race(&self) -> bool {
        self.kept.may_race(&self.replay)
    }

    fn spare(&mut self) -> Option<Req> {
        self.kept.spare(&self.replay)
    }

    fn send(&mut self, request: Req) -> ReadyCall<S, Req> {
        ReadyCall::new(self.service.clone(), request)
    }

    fn classify(&self, result: &Result<S::Response, S::Error>) -> Outcome {
        self.classifier.judge(result)
    }
}

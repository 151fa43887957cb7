use std::future::Future;

use tower_service::Service;

use super::PipelineError;
use crate::{
    Replay,
    classify::{Classify, Outcome},
    service::ReadyCall,
};

/// Makes and judges the attempts of one call: of a closure, or of a request to a service.
pub(super) trait Attempts {
    type Request;
    type Response;
    type Error;
    type Attempt: Future<Output = Result<Self::Response, Self::Error>>;

    /// Keeps a copy of what is about to be sent, if it may be sent twice.
    fn keep(&mut self, request: &Self::Request);

    /// Whether what was kept can still be sent.
    fn may_repeat(&self) -> bool;

    /// Takes out what was kept, and gives up what was sent before.
    fn repeat(&mut self) -> Option<Self::Request>;

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

    fn keep(&mut self, (): &()) {}

    fn may_repeat(&self) -> bool {
        true
    }

    fn repeat(&mut self) -> Option<()> {
        Some(())
    }

    fn send(&mut self, (): ()) -> Fut {
        (self.op)()
    }

    fn classify(&self, result: &Result<T, E>) -> Outcome {
        self.classifier.classify(result)
    }
}

/// A service that is called with copies of a request.
pub(super) struct Requests<S, Req, P, C> {
    pub(super) service: S,
    pub(super) replay: P,
    pub(super) classifier: C,
    pub(super) copy: Option<Req>,
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

    fn keep(&mut self, request: &Req) {
        self.copy = self.replay.replay(request);
    }

    fn may_repeat(&self) -> bool {
        self.copy.as_ref().is_some_and(|copy| self.replay.is_intact(copy))
    }

    fn repeat(&mut self) -> Option<Req> {
        let copy = self.copy.take()?;
        self.replay.reclaim(&copy);
        Some(copy)
    }

    fn send(&mut self, request: Req) -> ReadyCall<S, Req> {
        ReadyCall::new(self.service.clone(), request)
    }

    fn classify(&self, result: &Result<S::Response, S::Error>) -> Outcome {
        self.classifier.classify(result)
    }
}

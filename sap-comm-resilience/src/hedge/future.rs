use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    Hedge,
    race::{Hedged, Spares},
};
use crate::{
    Replay,
    classify::{Classify, Outcome},
    numbering::Numbering,
    retry::Kept,
    scoped::Scoped,
    service::ReadyCall,
};

pin_project! {
    /// A request, and its copies when it takes long.
    #[must_use = "futures do nothing unless polled"]
    pub struct HedgeFuture<S, Req, P, C>
    where
        S: Service<Req>,
    {
        #[pin]
        race: Hedged<ReadyCall<S, Req>, Copies<S, Req, P, C>>,
    }
}

/// Makes extra calls from the copy that was kept.
struct Copies<S, Req, P, C> {
    service: S,
    replay: P,
    classifier: C,
    kept: Kept<Req>,
    numbering: Numbering,
}

impl<S, Req, P, C> Copies<S, Req, P, C>
where
    S: Service<Req> + Clone,
{
    fn send(&mut self, request: Req) -> Scoped<ReadyCall<S, Req>> {
        Scoped::begin(self.numbering.next(), || ReadyCall::new(self.service.clone(), request))
    }
}

impl<S, Req, P, C> Spares<ReadyCall<S, Req>> for Copies<S, Req, P, C>
where
    S: Service<Req> + Clone,
    P: Replay<Req>,
    C: Classify<S::Response, S::Error>,
{
    fn has_spare(&self) -> bool {
        self.kept.may_race(&self.replay)
    }

    fn spare(&mut self) -> Option<Scoped<ReadyCall<S, Req>>> {
        let request = self.kept.spare(&self.replay)?;
        Some(self.send(request))
    }

    fn judge(&self, result: &Result<S::Response, S::Error>) -> Outcome {
        self.classifier.judge(result)
    }
}

impl<S, Req, P, C> HedgeFuture<S, Req, P, C>
where
    S: Service<Req> + Clone,
    P: Replay<Req>,
{
    pub(super) fn new(hedge: Hedge, service: S, request: Req, replay: P, classifier: C) -> Self {
        let kept = Kept::of(&replay, &request, false);
        let mut copies = Copies { service, replay, classifier, kept, numbering: Numbering::default() };
        let first = copies.send(request);
        Self { race: Hedged::new(hedge, first, copies) }
    }
}

impl<S, Req, P, C> Future for HedgeFuture<S, Req, P, C>
where
    S: Service<Req> + Clone,
    P: Replay<Req>,
    C: Classify<S::Response, S::Error>,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().race.poll(cx)
    }
}

impl<S: Service<Req>, Req, P, C> std::fmt::Debug for HedgeFuture<S, Req, P, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HedgeFuture").finish_non_exhaustive()
    }
}

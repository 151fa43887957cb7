use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    Hedge,
    race::{Race, Spares},
};
use crate::{Replay, classify::Classify, service::ReadyCall};

type ServiceRace<S, Req, P, C> =
    Race<ReadyCall<S, Req>, Copies<S, Req, P>, C, Result<<S as Service<Req>>::Response, <S as Service<Req>>::Error>>;

pin_project! {
    /// A request, and its copies when it takes long.
    #[must_use = "futures do nothing unless polled"]
    pub struct HedgeFuture<S, Req, P, C>
    where
        S: Service<Req>,
    {
        #[pin]
        race: ServiceRace<S, Req, P, C>,
    }
}

/// Makes extra calls from the copy that was kept.
struct Copies<S, Req, P> {
    service: S,
    replay: P,
    copy: Option<Req>,
}

impl<S, Req, P> Spares<ReadyCall<S, Req>> for Copies<S, Req, P>
where
    S: Service<Req> + Clone,
    P: Replay<Req>,
{
    fn has_spare(&self) -> bool {
        self.copy.is_some()
    }

    fn spare(&mut self) -> Option<ReadyCall<S, Req>> {
        let request = self.copy.take().filter(|copy| self.replay.may_race(copy))?;
        self.copy = self.replay.replay(&request);
        Some(ReadyCall::new(self.service.clone(), request))
    }
}

impl<S, Req, P, C> HedgeFuture<S, Req, P, C>
where
    S: Service<Req> + Clone,
    P: Replay<Req>,
{
    pub(super) fn new(hedge: Hedge, service: S, request: Req, replay: P, classifier: C) -> Self {
        let copy = replay.replay(&request);
        let first = ReadyCall::new(service.clone(), request);
        Self { race: Race::new(hedge, first, Copies { service, replay, copy }, classifier) }
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

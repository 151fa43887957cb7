//! A resolver that answers as the test says.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream::BoxStream};
use sap_comm_core::{Endpoint, Resolution, ResolveError, Resolver};
use sap_comm_discovery::{Balancer, BalancerConfig, Outcome, Picked};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

#[derive(Debug, Default)]
pub(crate) struct Script {
    watches: Mutex<Vec<mpsc::UnboundedSender<Resolution>>>,
    refreshes: AtomicUsize,
}

impl Script {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// A balancer over this script, its watch begun.
    pub(crate) async fn balancer(self: &Arc<Self>, config: BalancerConfig) -> Balancer {
        let balancer = Balancer::new(Arc::<Self>::clone(self), "user-service", config);
        settle().await;
        balancer
    }

    /// Answers every watch and lets the balancer take it in.
    pub(crate) async fn answer(&self, resolution: Resolution) {
        for watch in self.watches.lock().unwrap().iter() {
            // A watch that was dropped is what some tests look for.
            let _ = watch.send(resolution.clone());
        }
        settle().await;
    }

    pub(crate) async fn endpoints(&self, endpoints: &[&str]) {
        self.answer(Resolution::Snapshot(Arc::new(endpoints.iter().map(|text| endpoint(text)).collect()))).await;
    }

    pub(crate) async fn unavailable(&self, retry_in: Duration) {
        let error = ResolveError { service: "user-service".into(), reason: "the registry is down".into() };
        self.answer(Resolution::Unavailable { error, retry_in }).await;
    }

    /// Ends the watches, which no resolver should do.
    pub(crate) fn end(&self) {
        self.watches.lock().unwrap().clear();
    }

    /// How many watches were begun and are still held.
    pub(crate) fn watched(&self) -> usize {
        self.watches.lock().unwrap().iter().filter(|watch| !watch.is_closed()).count()
    }

    pub(crate) fn refreshes(&self) -> usize {
        self.refreshes.load(Ordering::SeqCst)
    }
}

impl Resolver for Script {
    fn watch(&self, _: &str) -> BoxStream<'static, Resolution> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.watches.lock().unwrap().push(sender);
        UnboundedReceiverStream::new(receiver).boxed()
    }

    fn refresh(&self, service: &str) {
        assert_eq!(service, "user-service");
        self.refreshes.fetch_add(1, Ordering::SeqCst);
    }
}

/// Reads `http://a:1` or, with a weight, `http://a:1*3`.
pub(crate) fn endpoint(text: &str) -> Endpoint {
    match text.split_once('*') {
        Some((text, weight)) => Endpoint::parse(text).unwrap().with_weight(weight.parse().unwrap()),
        None => Endpoint::parse(text).unwrap(),
    }
}

/// Lets every task that can run do so; time is paused and does not move.
pub(crate) async fn settle() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

/// How many of `calls` sequential calls each endpoint gets, each answered by `outcome`.
pub(crate) fn shares(balancer: &Balancer, calls: usize, outcome: impl Fn(&Picked) -> Outcome) -> Vec<(String, usize)> {
    let mut shares: Vec<(String, usize)> =
        balancer.snapshot().endpoints.iter().map(|known| (known.endpoint.authority().to_owned(), 0)).collect();
    for _ in 0..calls {
        let picked = balancer.pick().unwrap();
        picked.report(outcome(&picked));
        let share = shares.iter_mut().find(|(authority, _)| authority == picked.endpoint().authority()).unwrap();
        share.1 += 1;
    }
    shares
}

pub(crate) fn quick(_: &Picked) -> Outcome {
    Outcome::Success(Duration::from_millis(5))
}

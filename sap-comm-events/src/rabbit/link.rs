//! A connection that is made anew whenever it is lost.

use std::{pin::pin, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    address::{Address, Addresses},
    connect::connect,
    version::Version,
    vitals::{Side, Vitals},
};
use crate::{
    ConnectError,
    amqp::{Channel, Connection, Sink},
};

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);
/// How long it may take in the first round when there are other nodes to try: one that is frozen holds nobody up.
const ATTEMPT_OF_SEVERAL: Duration = Duration::from_secs(3);
/// The pause after the first failed attempt; doubles up to [`MAX_PAUSE`].
const PAUSE: Duration = Duration::from_millis(100);
/// An answer within a second or so of the broker's return costs one refused attempt a second.
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// How long a broker may take to answer.
pub(super) const ANSWER: Duration = Duration::from_secs(10);
const FAREWELL: Duration = Duration::from_secs(2);

/// One generation of a connection.
pub(super) struct Live {
    connection: Connection,
    /// Cancelled once it is lost.
    pub(super) lost: CancellationToken,
    address: Arc<Address>,
    /// The broker has answered something.
    answered: Notify,
}

/// A supervised connection; dropping it ends the connection.
pub(super) struct Link {
    watcher: Watcher,
    supervisor: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// Sees each generation of a connection.
#[derive(Clone)]
pub(super) struct Watcher(watch::Receiver<Option<Arc<Live>>>);

impl Link {
    /// Makes the first connection by `deadline`, then supervises it.
    ///
    /// What no other attempt would cure is an error once every node has said so.
    pub(super) async fn start(
        addresses: Addresses,
        service: &str,
        side: Side,
        vitals: Arc<Vitals>,
        deadline: Instant,
    ) -> Result<Self, ConnectError> {
        let name = format!("{service} ({})", side.name());
        let mut supervisor = Supervisor { addresses: addresses.shuffled(), name, side, vitals };
        let (mut pause, mut refusals) = (PAUSE, Vec::new());
        let first = loop {
            let several = supervisor.addresses.len() > 1;
            let limit = if several { deadline.min(Instant::now() + ATTEMPT_OF_SEVERAL) } else { deadline };
            let error = match supervisor.connect(limit).await {
                Ok(connected) => break connected,
                Err(error) => error,
            };
            let round = supervisor.addresses.advance();
            let is_late = Instant::now() + pause >= deadline;
            if error.is_transient() {
                tracing::debug!(%error, "the broker is not there yet");
                refusals.clear();
                if is_late {
                    return Err(error);
                }
            } else {
                refusals.push(error);
                if is_late || refusals.len() >= supervisor.addresses.len() {
                    return Err(refusals.swap_remove(0));
                }
            }
            if round {
                sleep(next(&mut pause)).await;
            }
        };
        let live = supervisor.live(first);
        let (sender, receiver) = watch::channel(Some(Arc::clone(&live)));
        let supervisor = tokio::spawn(async move { supervisor.run(live, sender).await });
        let supervisor = Mutex::new(Some(AbortOnDropHandle::new(supervisor)));
        Ok(Self { watcher: Watcher(receiver), supervisor })
    }

    pub(super) fn watcher(&self) -> Watcher {
        self.watcher.clone()
    }

    /// Host and port of the node that it is connected to.
    #[cfg(feature = "otel")]
    pub(super) fn node(&self) -> Option<(String, u16)> {
        self.watcher.0.borrow().as_ref().map(|live| (live.address.host.clone(), live.address.port))
    }

    /// Ends supervision, then the connection, in good order if the broker answers.
    pub(super) async fn close(&self) {
        let supervisor = self.supervisor.lock().take();
        if let Some(supervisor) = supervisor {
            supervisor.abort();
            // An error means that it was ended, as it should.
            drop(supervisor.await);
        }
        let live = self.watcher.0.borrow().clone();
        if let Some(live) = live {
            live.connection.close(FAREWELL).await;
        }
    }
}

impl Watcher {
    /// The connection, once there is one; `None` when it is closed for good.
    pub(super) async fn live(&mut self) -> Option<Arc<Live>> {
        let live = self.0.wait_for(|live| live.as_ref().is_some_and(|live| !live.lost.is_cancelled())).await;
        live.ok().and_then(|live| live.clone())
    }

    /// Like [`Watcher::live`], within `limit`; the error says that it is closed or what is wrong.
    pub(super) async fn live_within(&mut self, limit: Duration) -> Result<Arc<Live>, Absence> {
        match timeout(limit, self.live()).await {
            Ok(Some(live)) => Ok(live),
            Ok(None) => Err(Absence::Closed),
            Err(_) => Err(Absence::Away),
        }
    }
}

/// Why there is no connection.
pub(super) enum Absence {
    Closed,
    Away,
}

impl Live {
    /// Opens a channel that only asks; the error is one of the connection.
    pub(super) async fn channel(&self) -> Result<Channel, String> {
        self.channel_heard_by(Arc::new(())).await
    }

    /// Opens a channel; the error is one of the connection.
    pub(super) async fn channel_heard_by(&self, sink: Arc<dyn Sink>) -> Result<Channel, String> {
        self.answer(self.connection.channel(sink)).await?.map_err(|error| error.to_string())
    }

    /// Waits while the broker reads nothing from the connection.
    pub(super) async fn unblocked(&self) {
        // An error means that the connection is gone.
        drop(self.connection.blocked().wait_for(Option::is_none).await);
    }

    /// Whether the broker reads nothing from the connection, and has said so.
    pub(super) fn is_blocked(&self) -> bool {
        self.connection.blocked().borrow().is_some()
    }

    /// The version of the broker.
    pub(super) fn version(&self) -> Result<Version, String> {
        let said = self.connection.version().unwrap_or_default();
        Version::parse(said).ok_or_else(|| format!("the broker says that its version is {said:?}"))
    }

    /// Waits for an answer of the broker, unless the connection is lost or the broker silent.
    pub(super) async fn answer<F: Future>(&self, question: F) -> Result<F::Output, String> {
        self.answer_since(Instant::now(), question).await
    }

    /// Like [`Live::answer`], for what was asked before.
    pub(super) async fn answer_since<F: Future>(&self, asked: Instant, question: F) -> Result<F::Output, String> {
        tokio::select! {
            () = self.lost.cancelled() => Err("the connection is lost".to_owned()),
            answer = timeout_at(asked + ANSWER, question) => {
                let answer = answer.map_err(|_| format!("no answer within {ANSWER:?}"))?;
                self.answered.notify_waiters();
                Ok(answer)
            }
        }
    }

    /// Waits for `work`, which may take any number of answers, as long as the broker gives one within `limit` each time.
    pub(super) async fn patiently<F: Future>(&self, limit: Duration, work: F) -> Result<F::Output, String> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                output = &mut work => return Ok(output),
                answered = timeout(limit, self.answered.notified()) => {
                    answered.map_err(|_| format!("the broker has not answered for {limit:?}"))?;
                }
            }
        }
    }
}

struct Supervisor {
    addresses: Addresses,
    name: String,
    side: Side,
    vitals: Arc<Vitals>,
}

impl Supervisor {
    async fn run(mut self, mut live: Arc<Live>, generations: watch::Sender<Option<Arc<Live>>>) {
        loop {
            self.watch(&live).await;
            let error = live.connection.error().to_string();
            tracing::warn!(broker = live.address.shown(), connection = self.side.name(), error, "connection lost");
            self.vitals.down(self.side, error);
            generations.send_replace(None);
            live = self.reconnect().await;
            generations.send_replace(Some(Arc::clone(&live)));
        }
    }

    async fn connect(&self, deadline: Instant) -> Result<Connection, ConnectError> {
        connect(self.addresses.current(), &self.name, deadline).await
    }

    fn live(&mut self, connection: Connection) -> Arc<Live> {
        self.vitals.up(self.side);
        let (lost, address) = (connection.lost().clone(), Arc::clone(self.addresses.current()));
        Arc::new(Live { connection, lost, address, answered: Notify::new() })
    }

    /// Follows a connection until it is lost.
    async fn watch(&self, live: &Live) {
        let mut blocked = live.connection.blocked();
        while let Some(Ok(())) = live.lost.run_until_cancelled(blocked.changed()).await {
            match blocked.borrow_and_update().clone() {
                Some(reason) => {
                    tracing::warn!(connection = self.side.name(), reason, "the broker blocks the connection");
                    self.vitals.block(self.side, reason);
                }
                None => self.vitals.unblock(self.side),
            }
        }
    }

    /// Tries one node after the other, the lost one last; pauses after each round.
    async fn reconnect(&mut self) -> Arc<Live> {
        let (mut pause, mut tried) = (PAUSE, 0);
        sleep(next(&mut pause)).await;
        loop {
            self.addresses.advance();
            let limit = if tried < self.addresses.len() - 1 { ATTEMPT_OF_SEVERAL } else { ATTEMPT };
            match self.connect(Instant::now() + limit).await {
                Ok(connected) => {
                    let broker = self.addresses.current().shown();
                    tracing::info!(broker, connection = self.side.name(), "connected again");
                    return self.live(connected);
                }
                Err(error) => {
                    tracing::debug!(%error, "not connected");
                    self.vitals.down(self.side, error.to_string());
                }
            }
            tried += 1;
            if tried % self.addresses.len() == 0 {
                sleep(next(&mut pause)).await;
            }
        }
    }
}

/// The pause before the next attempt: half to all of `pause`, which doubles.
fn next(pause: &mut Duration) -> Duration {
    let drawn = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
    *pause = (*pause * 2).min(MAX_PAUSE);
    drawn
}

//! A connection that is made anew whenever it is lost.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use lapin::{Channel, Connection, Event};
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    address::{Address, Addresses},
    connect::{self, connect},
    version::Version,
    vitals::{Side, Vitals},
    wire::Wire,
};
use crate::ConnectError;

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);
/// How long it may take in the first round when there are other nodes to try: one that is frozen holds nobody up.
const ATTEMPT_OF_SEVERAL: Duration = Duration::from_secs(3);
/// The pause after the first failed attempt; doubles up to [`MAX_PAUSE`].
const PAUSE: Duration = Duration::from_millis(100);
/// An answer within a second or so of the broker's return costs one refused attempt a second.
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// How often a connection is looked at that says nothing.
const LOOK: Duration = Duration::from_millis(250);
/// How long a broker may take to answer a channel or a farewell.
const ANSWER: Duration = Duration::from_secs(10);
const FAREWELL: Duration = Duration::from_secs(2);

/// One generation of a connection.
pub(super) struct Live {
    pub(super) connection: Connection,
    /// Cancelled once it is lost.
    pub(super) lost: CancellationToken,
    address: Arc<Address>,
    wire: Wire,
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

    /// Ends supervision, then the connection, in good order if the broker answers.
    pub(super) async fn close(&self) {
        let supervisor = self.supervisor.lock().take();
        drop(supervisor);
        let live = self.watcher.0.borrow().clone();
        if let Some(live) = live {
            let farewell = timeout(FAREWELL, live.connection.close(200, "the service ends".into())).await;
            tracing::debug!(?farewell, "connection closed");
            live.lost.cancel();
            live.wire.cut();
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
    /// Opens a channel; the error is one of the connection.
    pub(super) async fn channel(&self) -> Result<Channel, String> {
        self.answer(self.connection.create_channel()).await?.map_err(|error| error.to_string())
    }

    /// The version of the broker; the error is one of the connection.
    pub(super) async fn version(&self) -> Result<Version, String> {
        let asking = self.address.version.get_or_try_init(|| connect::version(&self.address));
        self.answer(asking).await?.copied()
    }

    /// Waits for an answer of the broker, unless the connection is lost or the broker silent.
    pub(super) async fn answer<F: Future>(&self, question: F) -> Result<F::Output, String> {
        tokio::select! {
            () = self.lost.cancelled() => Err("the connection is lost".to_owned()),
            answer = timeout(ANSWER, question) => answer.map_err(|_| format!("no answer within {ANSWER:?}")),
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
            let error = self.watch(&live.connection).await;
            tracing::warn!(broker = live.address.shown(), connection = self.side.name(), error, "connection lost");
            self.vitals.down(self.side, error);
            generations.send_replace(None);
            live.lost.cancel();
            live.wire.cut();
            live = self.reconnect().await;
            generations.send_replace(Some(Arc::clone(&live)));
        }
    }

    async fn connect(&self, deadline: Instant) -> Result<(Connection, Wire), ConnectError> {
        connect(self.addresses.current(), &self.name, deadline).await
    }

    fn live(&mut self, (connection, wire): (Connection, Wire)) -> Arc<Live> {
        self.vitals.up(self.side);
        let address = Arc::clone(self.addresses.current());
        Arc::new(Live { connection, lost: CancellationToken::new(), address, wire })
    }

    /// Follows a connection until it is lost; says why.
    async fn watch(&self, connection: &Connection) -> String {
        let mut events = std::pin::pin!(connection.events_listener());
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = None;
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Event::ConnectionBlocked(reason)) => {
                        tracing::warn!(connection = self.side.name(), reason, "the broker blocks the connection");
                        self.vitals.block(self.side, reason);
                    }
                    Some(Event::ConnectionUnblocked) => self.vitals.unblock(self.side),
                    Some(Event::Error(error)) => last = Some(error.to_string()),
                    Some(_) => {}
                    None => return last.unwrap_or_else(|| "it ended".to_owned()),
                },
                _ = look.tick() => {}
            }
            if !connection.status().connected() {
                return last.unwrap_or_else(|| "it ended without a word".to_owned());
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

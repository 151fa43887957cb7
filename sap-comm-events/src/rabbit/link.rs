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
    address::Address,
    connect::connect,
    vitals::{Side, Vitals},
    wire::Wire,
};
use crate::ConnectError;

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);
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
    pub(super) async fn start(
        address: Arc<Address>,
        service: &str,
        side: Side,
        vitals: Arc<Vitals>,
        deadline: Instant,
    ) -> Result<Self, ConnectError> {
        let mut supervisor = Supervisor { address, name: format!("{service} ({})", side.name()), side, vitals };
        let mut pause = PAUSE;
        let first = loop {
            match connect(&supervisor.address, &supervisor.name, deadline).await {
                Ok(connected) => break connected,
                Err(error) if error.is_transient() && Instant::now() + pause < deadline => {
                    tracing::debug!(%error, "the broker is not there yet");
                    sleep(next(&mut pause)).await;
                }
                Err(error) => return Err(error),
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

    /// Waits for an answer of the broker, unless the connection is lost or the broker silent.
    pub(super) async fn answer<F: Future>(&self, question: F) -> Result<F::Output, String> {
        tokio::select! {
            () = self.lost.cancelled() => Err("the connection is lost".to_owned()),
            answer = timeout(ANSWER, question) => answer.map_err(|_| format!("no answer within {ANSWER:?}")),
        }
    }
}

struct Supervisor {
    address: Arc<Address>,
    name: String,
    side: Side,
    vitals: Arc<Vitals>,
}

impl Supervisor {
    async fn run(mut self, mut live: Arc<Live>, generations: watch::Sender<Option<Arc<Live>>>) {
        loop {
            let error = self.watch(&live.connection).await;
            tracing::warn!(broker = self.address.shown(), connection = self.side.name(), error, "connection lost");
            self.vitals.down(self.side, error);
            generations.send_replace(None);
            live.lost.cancel();
            live.wire.cut();
            live = self.reconnect().await;
            generations.send_replace(Some(Arc::clone(&live)));
        }
    }

    fn live(&mut self, (connection, wire): (Connection, Wire)) -> Arc<Live> {
        self.vitals.up(self.side);
        Arc::new(Live { connection, lost: CancellationToken::new(), wire })
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

    async fn reconnect(&mut self) -> Arc<Live> {
        let mut pause = PAUSE;
        loop {
            sleep(next(&mut pause)).await;
            match connect(&self.address, &self.name, Instant::now() + ATTEMPT).await {
                Ok(connected) => {
                    tracing::info!(broker = self.address.shown(), connection = self.side.name(), "connected again");
                    return self.live(connected);
                }
                Err(error) => {
                    tracing::debug!(%error, "not connected");
                    self.vitals.down(self.side, error.to_string());
                }
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

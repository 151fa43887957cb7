//! One confirm channel: sends jobs ahead of their confirms, and settles them.

use std::collections::HashSet;

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use lapin::{
    Channel, Confirmation, ErrorKind,
    message::BasicReturnMessage,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};

use super::{actor::Actor, job::Job};
use crate::{
    PublishError,
    rabbit::{
        declare::{DeclareError, declare_exchange},
        ladder::declare_ladder,
        link::Live,
        properties,
        refusal::{ACCESS_REFUSED, NOT_FOUND, Refusal},
        returns::{Arrival, Mark, Returns},
        window::Window,
    },
    topology::Target,
};

/// Why a channel is no longer used.
pub(super) enum End {
    /// Every caller is gone.
    Finished,
    /// The connection is lost.
    Lost,
    /// The broker closed the channel, with so many jobs in flight.
    Closed { error: String, in_flight: usize },
}

/// A confirm as it arrived: the number of the publish and what came.
type Arrived = (u64, lapin::Result<Confirmation>);

pub(super) struct PublishChannel {
    channel: Channel,
    /// Exchanges that exist as far as this channel knows.
    declared: HashSet<String>,
    /// How many rungs of the ladder of delays exist as far as this channel knows, and the exchanges that it leads to.
    rungs: u32,
    delayed: HashSet<String>,
    window: Window<Job>,
    returns: Returns,
}

impl PublishChannel {
    pub(super) async fn open(live: &Live) -> Result<Self, String> {
        let channel = live.channel().await?;
        let selected = live.answer(channel.confirm_select(ConfirmSelectOptions::default())).await?;
        selected.map_err(|error| error.to_string())?;
        let (declared, delayed) = (HashSet::new(), HashSet::new());
        Ok(Self { channel, declared, rungs: 0, delayed, window: Window::default(), returns: Returns::default() })
    }

    /// Publishes the actor's jobs. What is in flight at the end goes back to the head of its backlog.
    pub(super) async fn run(mut self, actor: &mut Actor, live: &Live, suspects: usize) -> End {
        let end = self.publish(actor, live, suspects).await;
        for mut job in self.window.into_rest().rev() {
            job.resent = true;
            actor.backlog.push_front(job);
        }
        end
    }

    async fn publish(&mut self, actor: &mut Actor, live: &Live, mut suspects: usize) -> End {
        let channel = self.channel.clone();
        let mut confirms = FuturesUnordered::new();
        let mut incoming = Vec::new();
        loop {
            // New publishes are first polled in the order they are pushed, which is the order that they are sent in.
            let limit = if suspects > 0 { 1 } else { actor.window };
            while self.window.has_room(limit)
                && let Some(job) = actor.backlog.pop_front()
            {
                if job.is_abandoned() && !job.resent {
                    continue;
                }
                match self.prepare(job, live).await {
                    Ok(Some(job)) => confirms.push(self.send(&channel, job)),
                    Ok(None) => {}
                    Err(job) => {
                        actor.backlog.push_front(job);
                        return if live.lost.is_cancelled() {
                            End::Lost
                        } else {
                            End::Closed { error: "an exchange could not be declared".to_owned(), in_flight: 0 }
                        };
                    }
                }
            }
            let room = if self.window.has_room(limit) { limit - self.window.len() } else { 0 };
            tokio::select! {
                biased;
                () = live.lost.cancelled() => return End::Lost,
                Some(first) = confirms.next(), if !confirms.is_empty() => {
                    let mut arrived = vec![first];
                    while let Some(Some(next)) = confirms.next().now_or_never() {
                        arrived.push(next);
                    }
                    suspects = suspects.saturating_sub(arrived.len());
                    if let Some(error) = self.settle(arrived, confirms.is_empty()) {
                        return self.ended(live, &error);
                    }
                }
                taken = actor.queue.recv_many(&mut incoming, room), if room > 0 => {
                    if taken == 0 {
                        return End::Finished;
                    }
                    actor.backlog.extend(incoming.drain(..));
                }
            }
        }
    }

    /// Sees that the job's exchange exists. `None`: it cannot, and the job is answered. `Err`: nobody knows.
    async fn prepare(&mut self, job: Job, live: &Live) -> Result<Option<Job>, Job> {
        let declared = match &job.target {
            Target::Queue(_) => return Ok(Some(job)),
            Target::Exchange { name, .. } if self.declared.contains(name) => return Ok(Some(job)),
            Target::Exchange { name, kind } => declare_exchange(live, name, *kind).await,
            Target::Later { rung, name, .. } if *rung < self.rungs && self.delayed.contains(name) => {
                return Ok(Some(job));
            }
            Target::Later { rung, name, kind, .. } => declare_ladder(live, self.rungs..=*rung, name, *kind).await,
        };
        match declared {
            Ok(()) => {
                match &job.target {
                    Target::Exchange { name, .. } | Target::Queue(name) => self.declared.insert(name.clone()),
                    Target::Later { rung, name, .. } => {
                        self.rungs = self.rungs.max(rung + 1);
                        self.delayed.insert(name.clone())
                    }
                };
                Ok(Some(job))
            }
            Err(DeclareError::Difference(error)) => {
                job.answer(Err(PublishError::Topology(error)));
                Ok(None)
            }
            Err(DeclareError::Forbidden(reason)) => {
                job.answer(Err(PublishError::Forbidden { reason }));
                Ok(None)
            }
            Err(DeclareError::Unsupported { feature, version }) => {
                let reason = format!("{} need RabbitMQ {}; the broker is {version}", feature.name, feature.since);
                job.answer(Err(PublishError::Forbidden { reason }));
                Ok(None)
            }
            Err(DeclareError::Connection(error)) => {
                tracing::debug!(error, target = ?job.target, "an exchange could not be declared");
                Err(job)
            }
        }
    }

    /// Starts a publish; the future ends with its confirm.
    fn send<'a>(&mut self, channel: &'a Channel, job: Job) -> impl Future<Output = Arrived> + use<'a> {
        job.mark_sent();
        let (exchange, key) = job.route();
        let (exchange, key) = (exchange.into(), key.into());
        let (body, properties) = (job.message.body.clone(), properties::of(&job.message));
        let number = self.window.push(job);
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        async move {
            let confirmed = async { channel.basic_publish(exchange, key, options, &body, properties).await?.await };
            (number, confirmed.await)
        }
    }

    /// Answers the jobs whose outcome is certain; returns the error that ended the channel.
    fn settle(&mut self, arrived: Vec<Arrived>, last: bool) -> Option<lapin::Error> {
        let mut failure = None;
        let mut arrivals = Vec::new();
        let carries_none =
            |(_, result): &Arrived| matches!(result, Ok(Confirmation::Ack(None) | Confirmation::Nack(None)) | Err(_));
        let plain = self.returns.is_idle() && arrived.iter().all(carries_none);
        for (number, result) in arrived {
            match result {
                Ok(Confirmation::Ack(returned)) => {
                    if plain {
                        self.answer(number, Job::confirmed);
                    } else if let Some(job) = self.window.get(number) {
                        arrivals.push(Arrival { number, mark: job.mark(), returned: returned.as_ref().map(mark) });
                    }
                }
                Ok(Confirmation::Nack(returned)) => {
                    if let Some(returned) = &returned {
                        self.returns.note(mark(returned));
                    }
                    self.answer(number, |job| job.nacked("basic.nack".to_owned()));
                }
                // Not a success: the channel lost its confirm mode, so nobody knows.
                Ok(Confirmation::NotRequested) => self.answer(number, Job::unknown),
                Err(error) => failure = Some(error),
            }
        }
        // An error settles nothing: the return of a confirm in doubt may have been lost with it.
        let last = last && failure.is_none();
        for (number, routed) in self.returns.settle(arrivals, last) {
            self.answer(number, if routed { Job::confirmed } else { Job::unroutable });
        }
        failure
    }

    fn answer(&mut self, number: u64, answer: impl FnOnce(Job)) {
        if let Some(job) = self.window.take(number) {
            answer(job);
        }
    }

    /// Tells a lost connection from a closed channel; a job alone in flight is the reason for the latter.
    fn ended(&mut self, live: &Live, error: &lapin::Error) -> End {
        // The client library may not have noticed yet that the socket failed, and no job is to blame for that.
        if !live.connection.status().connected() || matches!(error.kind(), ErrorKind::IOError(_)) {
            return End::Lost;
        }
        let alone = self.window.len() == 1;
        let refusal = Refusal::of(error);
        // An exchange that was deleted beneath us is declared again by the next channel.
        let is_curable = refusal.as_ref().is_some_and(|refusal| refusal.code == NOT_FOUND);
        let error = error.to_string();
        if alone && !(is_curable && self.window.iter().all(|job| !job.resent)) {
            let window = std::mem::take(&mut self.window);
            let forbidden = refusal.filter(|refusal| refusal.code == ACCESS_REFUSED).map(|refusal| refusal.text);
            window.into_rest().for_each(|job| match &forbidden {
                Some(reason) => job.answer(Err(PublishError::Forbidden { reason: reason.clone() })),
                None => job.nacked(error.clone()),
            });
        }
        End::Closed { error, in_flight: self.window.len() }
    }
}

fn mark(returned: &BasicReturnMessage) -> Mark {
    let id = returned.properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default();
    (returned.exchange.to_string(), returned.routing_key.to_string(), id)
}

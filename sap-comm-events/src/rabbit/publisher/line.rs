//! A confirm channel in use: what is known to exist, and what was sent over it and is not confirmed.

use std::{collections::HashSet, time::Duration};

use tokio::time::Instant;

use super::job::Job;
use crate::{
    PublishError,
    amqp::{Channel, Content, Error},
    rabbit::{properties, window::Window},
    topology::Target,
};

/// Why a job cannot be sent now.
pub(super) enum Hindrance {
    /// It must be declared first where it goes.
    Undeclared,
    /// As much is in flight as may be; a confirm makes room.
    Window,
    /// The socket is slow.
    Socket,
    /// The channel has ended, and says why soon.
    Ended,
}

/// At how many looks a job is in flight before it is not why the channel ended: what is, ends it at once.
const CLEARED: u8 = 10;
/// How long a channel may refuse whatever it gets.
pub(super) const REFUSING: Duration = Duration::from_secs(1);

pub(super) struct Line {
    pub(super) channel: Channel,
    /// How many jobs may be in flight.
    limit: usize,
    /// How many jobs were in flight when a channel was closed on us: one of them may be the reason, so they are sent one at a
    /// time.
    pub(super) suspects: usize,
    /// Exchanges that exist as far as this channel knows.
    declared: HashSet<String>,
    /// How many rungs of the ladder of delays exist as far as this channel knows, and the exchanges that it leads to.
    rungs: u32,
    delayed: HashSet<String>,
    window: Window<Job>,
    /// How many of those in flight do not count.
    uncounted: usize,
    /// Since when the broker refuses whatever it gets, and when it did last.
    refusing: Option<(Instant, Instant)>,
    /// How long it may.
    patience: Duration,
    /// Whether it has taken anything.
    pub(super) served: bool,
    /// Why the channel is no more.
    pub(super) end: Option<Error>,
}

/// What became of jobs.
pub(super) type Settled = Vec<(Job, Result<(), Refused>)>;

/// Why the broker has not got a job.
pub(super) enum Refused {
    Unroutable,
    Nacked,
    /// One that it follows was.
    Overtaking,
    Unwritable(Error),
}

impl Line {
    pub(super) fn new(channel: Channel, limit: usize, suspects: usize, patience: Duration) -> Self {
        Self {
            channel,
            limit,
            suspects,
            declared: HashSet::new(),
            rungs: 0,
            delayed: HashSet::new(),
            window: Window::default(),
            uncounted: 0,
            refusing: None,
            patience,
            served: false,
            end: None,
        }
    }

    fn has_room(&self) -> bool {
        self.window.len() - self.uncounted < if self.suspects > 0 { 1 } else { self.limit }
    }

    pub(super) fn hindrance(&self, target: &Target) -> Option<Hindrance> {
        if self.channel.has_ended() {
            Some(Hindrance::Ended)
        } else if !self.has_room() {
            Some(Hindrance::Window)
        } else if !self.knows(target) {
            Some(Hindrance::Undeclared)
        } else {
            self.channel.is_full().then_some(Hindrance::Socket)
        }
    }

    fn knows(&self, target: &Target) -> bool {
        match target {
            Target::Queue(_) => true,
            Target::Exchange { name, .. } => self.declared.contains(name.as_str()),
            Target::Later { rung, name, .. } => *rung < self.rungs && self.delayed.contains(name.as_str()),
        }
    }

    /// The lowest rung that is not known to exist.
    pub(super) fn rungs(&self) -> u32 {
        self.rungs
    }

    pub(super) fn learn(&mut self, target: Target) {
        match target {
            Target::Exchange { name, .. } => self.declared.insert(name.into()),
            Target::Queue(name) => self.declared.insert(name),
            Target::Later { rung, name, .. } => {
                self.rungs = self.rungs.max(rung + 1);
                self.delayed.insert(name.into())
            }
        };
    }

    /// Publishes a job, which is in the window from then on; it comes back if the channel has ended.
    pub(super) fn send(&mut self, job: Job, settled: &mut Settled) -> Option<Job> {
        let (exchange, key) = job.route();
        let message = &job.message;
        match self.channel.publish(exchange, key, message.body(), |to| properties::write(message, to)) {
            Ok(()) => {
                job.mark_sent();
                self.uncounted += usize::from(!job.counts);
                self.window.push(job);
                None
            }
            Err(Error::Closed) => Some(job),
            Err(error) => {
                settled.push((job, Err(Refused::Unwritable(error))));
                None
            }
        }
    }

    /// Takes the jobs that a confirm is about out of the window.
    pub(super) fn confirm(&mut self, number: u64, multiple: bool, acked: bool, settled: &mut Settled) {
        match acked {
            true => (self.refusing, self.served) = (None, true),
            false => {
                let now = Instant::now();
                // What is refused now and then says nothing of what comes between.
                let since = self.refusing.filter(|(_, last)| now - *last < REFUSING).map_or(now, |(since, _)| since);
                self.refusing = Some((since, now));
            }
        }
        let outcome = |job: &Job| match (acked, job.returned) {
            (true, false) => Ok(()),
            (true, true) => Err(Refused::Unroutable),
            (false, _) => Err(Refused::Nacked),
        };
        let window = &mut self.window;
        let jobs = std::iter::from_fn(|| if multiple { window.take_up_to(number) } else { window.take(number) });
        let (uncounted, mut cleared) = (&mut self.uncounted, 0);
        settled.extend(jobs.map(|job| {
            match job.counts {
                true => cleared += 1,
                false => *uncounted -= 1,
            }
            let outcome = outcome(&job);
            (job, outcome)
        }));
        self.clear(cleared);
    }

    /// Notes what was sent after `number` in one of these lanes, of which a job was refused.
    pub(super) fn hold_back(&mut self, number: u64, lanes: &HashSet<u64>) {
        for job in self.window.after(number) {
            job.follows_refused |= job.is_of(lanes);
        }
    }

    /// So many jobs did not make the broker close the channel.
    fn clear(&mut self, count: usize) {
        self.suspects = self.suspects.saturating_sub(count);
    }

    /// Sees to it that what the broker does not answer is not in the way of others: a queue without a majority of its nodes answers
    /// nothing for as long as that lasts. What settles a delivery counts no more after a look, nor does a suspect after [`CLEARED`]; what
    /// nobody waits for is taken out where others need its room, as `pressed` says if it is not seen here. Also returned is
    /// whose order that kept.
    pub(super) fn look(&mut self, pressed: bool) -> (Vec<Job>, HashSet<u64>) {
        let forgets = pressed || !self.has_room() || self.window.iter().any(Job::takes_the_last_room);
        let (mut lanes, mut cleared, mut uncounted) = (HashSet::new(), 0, 0);
        let suspicious = self.suspects > 0;
        let forgotten = self.window.extract(|job| {
            // Sent again, it would come before what is forgotten and published again.
            job.follows_refused |= job.is_of(&lanes);
            let looks = job.looks;
            job.looks = looks.saturating_add(1);
            if job.counts && (suspicious && looks >= CLEARED || looks > 0 && job.settles() && !suspicious) {
                job.counts = false;
                cleared += usize::from(suspicious);
            }
            let goes = looks > 0 && job.is_abandoned() && (forgets || job.settles());
            if goes {
                lanes.extend(job.lane());
            }
            uncounted += usize::from(!job.counts && !goes);
            goes
        });
        self.uncounted = uncounted;
        self.clear(cleared);
        (forgotten, lanes)
    }

    /// How many jobs are in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.window.len()
    }

    /// Notes a message that no queue wanted. The broker returns in the order of publishing, and before it confirms.
    pub(super) fn returned(&mut self, content: &Content) {
        match self.window.iter_mut().find(|job| !job.returned && job.is(content)) {
            Some(job) => job.returned = true,
            None => tracing::warn!(exchange = &*content.exchange(), "the broker returned a message that is not ours"),
        }
    }

    /// Whether another channel may fare better: RabbitMQ's may go on to refuse what goes to a quorum queue, because it asks a
    /// node that is gone.
    pub(super) fn refuses(&self) -> bool {
        self.refusing.is_some_and(|(since, last)| last - since >= self.patience)
    }

    /// What is in flight.
    pub(super) fn take_window(&mut self) -> Window<Job> {
        std::mem::take(&mut self.window)
    }
}

impl Refused {
    pub(super) fn error(self, job: &Job) -> PublishError {
        match self {
            Self::Unroutable => job.refused(job.unroutable()),
            Self::Nacked => job.refused(job.nacked("basic.nack".to_owned())),
            Self::Overtaking => job.overtaking(),
            Self::Unwritable(error) => PublishError::Encode { reason: error.to_string() },
        }
    }
}

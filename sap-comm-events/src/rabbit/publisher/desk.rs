//! Where callers leave their jobs, and where the answers come in.
//!
//! As long as there is a channel and nothing waits, a caller writes its job to the channel itself, and the task that reads
//! the connection answers it: no other task is woken. Everything else is left to the [`Actor`](super::actor::Actor).

use std::{
    collections::{HashSet, VecDeque},
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    job::Job,
    line::{Hindrance, Line, Refused, Settled},
};
use crate::{
    PublishError,
    amqp::{Channel, Error, Event, Sink},
    topology::Target,
};

#[derive(Default)]
pub(super) struct Desk {
    state: Mutex<State>,
    /// There is something to do for the actor.
    work: Notify,
    /// Whether somebody was refused for want of room since the actor looked.
    pressed: AtomicBool,
    ending: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Jobs that are not sent, or to be sent again; oldest first.
    backlog: VecDeque<Job>,
    line: Option<Line>,
    /// How many lines there were.
    lines: u64,
    closed: bool,
}

/// What the actor is to do next.
pub(super) enum Step {
    /// Nothing, until there is work.
    Wait,
    /// Wait until the socket has taken what is written.
    Drain(Channel),
    /// See that it exists where the oldest job goes; so many rungs are known.
    Declare(Target, u32),
    /// Leave the channel, which has ended.
    Leave(Error),
    /// Leave the channel for another, since it refuses everything.
    Renew,
}

/// What is left of a line.
#[derive(Default)]
pub(super) struct Left {
    /// How many jobs were in flight.
    pub(super) in_flight: usize,
    /// Whether a lone job of them was sent for the first time.
    pub(super) is_fresh: bool,
    /// How many of what is sent next may be why the channel ended.
    pub(super) suspects: usize,
    /// Whether the broker has taken anything over it.
    pub(super) served: bool,
}

impl Desk {
    /// Takes a job, unless there is nobody any more who would send it.
    pub(super) fn submit(&self, job: Job) -> bool {
        let (mut settled, mut waits) = (Settled::new(), false);
        let mut state = self.state.lock();
        if state.closed {
            return false;
        }
        let State { backlog, line, .. } = &mut *state;
        let job = match line {
            Some(line) if backlog.is_empty() && line.hindrance(&job.target).is_none() => line.send(job, &mut settled),
            _ => Some(job),
        };
        if let Some(job) = job {
            waits = backlog.is_empty();
            backlog.push_back(job);
        }
        drop(state);
        if waits {
            self.work.notify_one();
        }
        answer(settled);
        true
    }

    /// Sends what can be sent; what is to be done before there can be more.
    pub(super) fn step(&self) -> Step {
        let (mut settled, mut forgotten) = (Settled::new(), Vec::new());
        let mut state = self.state.lock();
        let State { backlog, line, .. } = &mut *state;
        let step = loop {
            let Some(line) = line else { break Step::Wait };
            if let Some(error) = &line.end {
                break Step::Leave(error.clone());
            }
            if line.refuses() {
                break Step::Renew;
            }
            let Some(job) = backlog.pop_front() else { break Step::Wait };
            if job.is_forgettable() {
                forgotten.push(job);
                continue;
            }
            let step = match line.hindrance(&job.target) {
                None => match line.send(job, &mut settled) {
                    None => continue,
                    Some(job) => {
                        backlog.push_front(job);
                        break Step::Wait;
                    }
                },
                Some(Hindrance::Undeclared) => Step::Declare(job.target.clone(), line.rungs()),
                Some(Hindrance::Socket) => Step::Drain(line.channel.clone()),
                Some(Hindrance::Window | Hindrance::Ended) => Step::Wait,
            };
            backlog.push_front(job);
            break step;
        };
        drop(state);
        drop(forgotten);
        answer(settled);
        step
    }

    /// Waits until there is work.
    pub(super) async fn work(&self) {
        self.work.notified().await;
    }

    /// Goes on over a new channel.
    pub(super) fn open(&self, mut line: Line) {
        let mut state = self.state.lock();
        // It may have ended before it was used, and said so to nobody.
        line.end = line.channel.has_ended().then_some(Error::Closed);
        state.line = Some(line);
    }

    /// Somebody who hears what happens on the next channel.
    pub(super) fn ear(self: &Arc<Self>) -> Ear {
        let mut state = self.state.lock();
        state.lines += 1;
        Ear { desk: Arc::clone(self), number: state.lines }
    }

    /// The target exists.
    pub(super) fn learn(&self, target: Target) {
        if let Some(line) = &mut self.state.lock().line {
            line.learn(target);
        }
    }

    /// Refuses the oldest job, whose target cannot exist, unless it is gone meanwhile.
    pub(super) fn refuse_first(&self, target: &Target, error: PublishError) {
        let job = self.state.lock().backlog.pop_front_if(|job| job.target == *target);
        if let Some(job) = job {
            let error = job.refused(error);
            job.answer(Err(error));
        }
    }

    /// Lets others go first: whether `target` can exist is not known yet.
    pub(super) fn postpone(&self, target: &Target) {
        let mut state = self.state.lock();
        let (postponed, others): (VecDeque<_>, VecDeque<_>) =
            mem::take(&mut state.backlog).into_iter().partition(|job| job.target.stands_with(target));
        state.backlog = others;
        state.backlog.extend(postponed);
    }

    /// Leaves the channel: what was in flight is to be sent again, unless it would overtake what was refused, or `blame` answers the
    /// only one that was.
    pub(super) fn leave(&self, blame: impl Fn(&Left, &Job) -> Option<PublishError>) -> Left {
        let mut state = self.state.lock();
        let Some(mut line) = state.line.take() else { return Left::default() };
        let window = line.take_window();
        // What the broker did not answer long before is not why.
        let in_flight = window.iter().filter(|job| job.counts).count();
        let is_fresh = window.iter().all(|job| !job.resent || !job.counts);
        let mut left = Left { in_flight, is_fresh, suspects: in_flight, served: line.served };
        let mut lone = (in_flight == 1).then_some(());
        let (mut refused, mut lanes) = (Vec::new(), HashSet::new());
        let waiting = mem::take(&mut state.backlog);
        // The broker closes a channel for what it does not take.
        let not_taken = in_flight == 1 && matches!(line.end, Some(Error::Channel { .. }));
        let sent = window.into_rest().map(|job| {
            let may_be_there = !(not_taken && job.counts);
            job.back(may_be_there)
        });
        for job in sent.chain(waiting) {
            let error = lone.take_if(|()| job.counts).and_then(|()| blame(&left, &job));
            if error.is_some() {
                // The others may be to blame for an earlier end still.
                (left.in_flight, left.suspects) = (0, line.suspects.saturating_sub(1));
            }
            let follows = job.follows_refused || job.is_of(&lanes);
            match error.or_else(|| follows.then(|| job.overtaking())) {
                Some(error) => {
                    lanes.extend(job.lane());
                    refused.push((job, error));
                }
                None => state.backlog.push_back(job),
            }
        }
        drop(state);
        drop(line);
        for (job, error) in refused {
            job.answer(Err(error));
        }
        left
    }

    /// Sees to it that what the broker does not answer, and what nobody waits for, is not in the way of others; a broker that does not
    /// `listen` is not expected to answer.
    pub(super) fn look(&self, listens: bool) {
        let pressed = self.pressed.swap(false, Ordering::Relaxed) || self.ending.load(Ordering::Relaxed);
        let mut state = self.state.lock();
        let State { backlog, line, .. } = &mut *state;
        let pressed = pressed || backlog.iter().any(Job::takes_the_last_room);
        let (mut forgotten, lanes) = match line {
            Some(line) if listens => line.look(pressed),
            _ => (Vec::new(), HashSet::new()),
        };
        let unanswered = forgotten.len();
        let (mut overtaking, mut left_out) = (Vec::new(), HashSet::new());
        for mut job in mem::take(backlog) {
            if job.is_forgettable() || (pressed && job.is_abandoned()) {
                if job.resent && !job.settles() {
                    left_out.extend(job.lane());
                }
                forgotten.push(job);
            } else if job.is_of(&left_out) {
                overtaking.push(job);
            } else {
                // Over another channel it would come before what is forgotten and published again.
                job.follows_refused |= job.is_of(&lanes);
                backlog.push_back(job);
            }
        }
        drop(state);
        if unanswered > 0 {
            tracing::warn!(count = unanswered, "the broker does not answer what was published; it is awaited no more");
        }
        if !forgotten.is_empty() {
            // There may be room now.
            self.work.notify_one();
        }
        for job in overtaking {
            let error = job.overtaking();
            job.answer(Err(error));
        }
    }

    /// Somebody was refused for want of room.
    pub(super) fn press(&self) {
        self.pressed.store(true, Ordering::Relaxed);
    }

    /// There will be no new jobs.
    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// How many jobs there are.
    pub(super) fn pending(&self) -> usize {
        let state = self.state.lock();
        state.backlog.len() + state.line.as_ref().map_or(0, Line::in_flight)
    }

    /// Takes nothing any more; whoever waits learns that nobody knows.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let (backlog, line) = (mem::take(&mut state.backlog), state.line.take());
        drop(state);
        drop((backlog, line));
    }
}

/// Hears what happens on one channel.
pub(super) struct Ear {
    desk: Arc<Desk>,
    number: u64,
}

impl Sink for Ear {
    fn happen(&self, event: Event) {
        let mut settled = Settled::new();
        let mut state = self.desk.state.lock();
        if state.lines != self.number {
            return;
        }
        let State { backlog, line: Some(line), .. } = &mut *state else { return };
        let is_closed = matches!(event, Event::Closed(_));
        match event {
            Event::Confirmed { number, multiple, acked } => {
                line.confirm(number, multiple, acked, &mut settled);
                if !acked {
                    hold_back(line, backlog, number, &mut settled);
                }
            }
            Event::Returned(content) => line.returned(&content),
            Event::Closed(error) => line.end = Some(error),
            Event::Delivery(_) | Event::Cancelled => {}
        }
        let has_work = is_closed || line.refuses() || !backlog.is_empty();
        drop(state);
        if has_work {
            self.desk.work.notify_one();
        }
        answer(settled);
    }
}

/// Keeps jobs from overtaking those of their ordering key that were refused: what was not sent yet is refused as well, and what
/// was is not sent again.
fn hold_back(line: &mut Line, backlog: &mut VecDeque<Job>, number: u64, settled: &mut Settled) {
    let lanes: HashSet<_> = settled.iter().filter_map(|(job, _)| job.lane()).collect();
    if lanes.is_empty() {
        return;
    }
    line.hold_back(number, &lanes);
    let (followers, kept): (Vec<_>, Vec<_>) = backlog.drain(..).partition(|job| job.is_of(&lanes));
    backlog.extend(kept);
    settled.extend(followers.into_iter().map(|job| (job, Err(Refused::Overtaking))));
}

fn answer(settled: Settled) {
    for (job, outcome) in settled {
        let outcome = outcome.map_err(|refused| refused.error(&job));
        job.answer(outcome);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::AtomicBool};

    use tokio::sync::{Semaphore, oneshot};

    use super::*;
    use crate::{
        amqp::{
            Connection,
            tests::{Broker, connected},
        },
        message::{Message, header},
        rabbit::publisher::line::REFUSING,
        topology::ExchangeKind,
    };

    type Reply = oneshot::Receiver<Result<(), PublishError>>;

    fn job(key: &str) -> (Job, Reply) {
        job_to("q", key)
    }

    fn job_to(queue: &str, key: &str) -> (Job, Reply) {
        let mut message = Message::default();
        message.headers.set(header::ORDERING_KEY, key.to_owned());
        let (reply, answer) = oneshot::channel();
        let room = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let job = Job {
            target: Target::Queue(queue.to_owned()),
            message,
            reply,
            sent: Arc::new(AtomicBool::new(false)),
            resent: false,
            may_be_there: false,
            returned: false,
            follows_refused: false,
            looks: 0,
            counts: true,
            room: Some(room),
        };
        (job, answer)
    }

    /// A desk with a channel over which so many may be in flight, and the two ends of its connection.
    async fn in_use(limit: usize) -> (Arc<Desk>, Ear, (Connection, Broker)) {
        let (client, mut broker) = connected().await;
        let (channel, _events) = broker.opens(&client).await;
        let desk = Arc::new(Desk::default());
        let ear = desk.ear();
        desk.open(Line::new(channel, limit, 0, REFUSING));
        (desk, ear, (client, broker))
    }

    fn is_refused(reply: &mut Reply) -> bool {
        matches!(reply.try_recv(), Ok(Err(PublishError::Nacked { .. })))
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_overtakes_what_was_refused() {
        // Four are in flight at most.
        let (desk, ear, _wire) = in_use(4).await;
        let mut replies = Vec::new();
        for key in ["a", "a", "b", "a", "a", "b"] {
            let (job, reply) = job(key);
            assert!(desk.submit(job));
            replies.push(reply);
        }
        ear.happen(Event::Confirmed { number: 1, multiple: false, acked: true });
        assert_eq!(replies[0].try_recv().unwrap().unwrap(), ());
        ear.happen(Event::Confirmed { number: 2, multiple: false, acked: false });
        assert!(is_refused(&mut replies[1]), "the broker said so");
        assert!(is_refused(&mut replies[4]), "it was not sent yet, and would come before");
        assert!(
            [2, 3, 5].iter().all(|at| replies[*at].try_recv().is_err()),
            "the broker decides, or it is of another key"
        );
        let left = desk.leave(|_, _| None);
        assert!(matches!(replies[3].try_recv(), Ok(Err(PublishError::Unknown { .. }))), "sent again it would overtake");
        assert_eq!(left.in_flight, 2);
        let key = |job: &Job| job.message.headers.text(header::ORDERING_KEY).map(str::to_owned);
        let again: Vec<_> = desk.state.lock().backlog.iter().map(key).collect();
        assert_eq!(again, [Some("b".to_owned()), Some("b".to_owned())]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_sent_over_a_channel_that_is_gone_may_be_there_although_it_is_refused() {
        let (desk, _ear, (client, mut broker)) = in_use(4).await;
        let (another, _others) = broker.opens(&client).await;
        let ((first, mut refused), (second, mut returned)) = (job("a"), job("b"));
        assert!(desk.submit(first) && desk.submit(second));
        assert_eq!(desk.leave(|_, _| None).in_flight, 2);
        let ear = desk.ear();
        desk.open(Line::new(another, 4, 0, REFUSING));
        assert!(matches!(desk.step(), Step::Wait));
        ear.happen(Event::Confirmed { number: 1, multiple: false, acked: false });
        assert!(matches!(refused.try_recv(), Ok(Err(PublishError::Unknown { .. }))));
        let (third, mut fresh) = job("c");
        assert!(desk.submit(third));
        ear.happen(Event::Confirmed { number: 3, multiple: false, acked: false });
        assert!(is_refused(&mut fresh), "it was sent but once");
        ear.happen(Event::Confirmed { number: 2, multiple: false, acked: true });
        returned.try_recv().unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_declared_yet_gives_way() {
        let (desk, ear, _wire) = in_use(4).await;
        let (mut later, mut delayed) = job("a");
        let name = || "user.events".into();
        later.target = Target::Later { rung: 3, enters: "rung".to_owned(), name: name(), kind: ExchangeKind::Topic };
        let (event, mut published) = job("b");
        assert!(desk.submit(later) && desk.submit(event));
        let Step::Declare(target, _) = desk.step() else { panic!("its ladder is not there") };
        assert!(published.try_recv().is_err());
        desk.postpone(&target);
        assert!(matches!(desk.step(), Step::Declare(..)), "it is still to be sent");
        ear.happen(Event::Confirmed { number: 1, multiple: false, acked: true });
        published.try_recv().unwrap().unwrap();
        assert!(delayed.try_recv().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_kept_in_order_where_it_goes_and_not_elsewhere() {
        let (desk, ear, _wire) = in_use(1).await;
        let (burial, mut buried) = job_to("q.dead", "a");
        let (event, mut published) = job_to("q", "a");
        assert!(desk.submit(burial) && desk.submit(event));
        ear.happen(Event::Confirmed { number: 1, multiple: false, acked: false });
        assert!(is_refused(&mut buried));
        assert!(published.try_recv().is_err(), "it goes elsewhere");
        assert!(matches!(desk.step(), Step::Wait));
        ear.happen(Event::Confirmed { number: 2, multiple: false, acked: true });
        published.try_recv().unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_never_answered_gives_way_once_nobody_waits() {
        let (desk, _ear, _wire) = in_use(2).await;
        let mut replies = Vec::new();
        for key in ["a", "b", "a", "c"] {
            let (job, reply) = job(key);
            assert!(desk.submit(job));
            replies.push(Some(reply));
        }
        drop(replies[0].take());
        desk.look(true);
        assert!(matches!(desk.step(), Step::Wait) && desk.pending() == 4, "it may be answered yet");
        desk.look(true);
        assert_eq!(desk.pending(), 3, "it is forgotten");
        assert!(matches!(desk.step(), Step::Wait), "the next one is sent");
        assert_eq!(desk.state.lock().backlog.len(), 1);
        let left = desk.leave(|_, _| None);
        assert_eq!(left.in_flight, 2);
        let follower = replies[2].as_mut().unwrap().try_recv();
        assert!(
            matches!(follower, Ok(Err(PublishError::Unknown { .. }))),
            "sent again it would overtake: {follower:?}"
        );
        assert_eq!(desk.pending(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_settles_and_is_not_answered_neither_takes_room_nor_blame() {
        let (desk, _ear, (client, mut broker)) = in_use(1).await;
        let (another, _others) = broker.opens(&client).await;
        let (mut settling, mut settled) = job("a");
        settling.room = None;
        let (culprit, mut refused) = job("b");
        assert!(desk.submit(settling) && desk.submit(culprit));
        desk.look(true);
        assert_eq!(desk.state.lock().backlog.len(), 1, "it may be answered yet");
        desk.look(true);
        assert!(matches!(desk.step(), Step::Wait) && desk.state.lock().backlog.is_empty(), "the next one is sent");
        let left = desk.leave(|_, job| Some(job.nacked("not this one".to_owned())));
        assert!(is_refused(&mut refused) && settled.try_recv().is_err());
        assert_eq!((left.suspects, desk.pending()), (0, 1));
        let ear = desk.ear();
        desk.open(Line::new(another, 1, 0, REFUSING));
        let (next, mut answered) = job("c");
        assert!(desk.submit(next) && matches!(desk.step(), Step::Wait));
        assert!(desk.state.lock().backlog.is_empty(), "it still takes no room");
        ear.happen(Event::Confirmed { number: 2, multiple: true, acked: true });
        assert!(settled.try_recv().is_ok() && answered.try_recv().is_ok());
        assert_eq!(desk.pending(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_settled_is_not_sent_again_when_its_delivery_came_again() {
        let (desk, _ear, _wire) = in_use(4).await;
        let (mut settling, settled) = job("a");
        settling.room = None;
        let (event, _answer) = job("b");
        assert!(desk.submit(settling) && desk.submit(event));
        drop(settled);
        assert_eq!((desk.leave(|_, _| None).in_flight, desk.pending()), (2, 2));
        desk.look(false);
        assert_eq!(desk.pending(), 1);
    }
}

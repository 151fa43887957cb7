use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Waker},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use super::ServerConfig;

/// What a connection is doing, and until when it may.
#[derive(Debug)]
pub(super) struct Activity {
    state: Mutex<State>,
    /// Wakes whoever drives the connection. It stays when that was done: it is not told again for each request.
    connection: Mutex<Option<Waker>>,
    /// Since when the server stops.
    drains_since: OnceLock<Instant>,
    /// Whether the request that arrives is not waited for any more.
    late: AtomicBool,
    header_timeout: Duration,
    keep_alive_idle: Duration,
    write_timeout: Duration,
    /// How long a request may still arrive, once the server stops.
    arrival: Duration,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// When the phase began. Mostly filled at the first look at its deadline, which comes with the end of the poll that began it; at a
    /// request that arrives in one piece nobody looks.
    since: Option<Instant>,
    requests: usize,
    begun: u64,
    /// On HTTP/2, the responses that wait for the peer to take what they have, each with the end of its patience.
    sending: Vec<(u64, Instant)>,
    http2: bool,
    /// Whether what has come in ends within the head of a request, on HTTP/1, or within a TLS handshake.
    within_head: bool,
    /// Whether the peer has not taken yet all that was written.
    unsent: bool,
    /// Whether the last response was a refusal without a word.
    bare: bool,
    /// Whether the peer has nothing more to ask, and waits for its answer.
    ended: bool,
    /// Whether it is to make room as soon as it rests.
    leaves: bool,
}

/// Which limit a connection is under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing has been asked yet.
    Opening,
    /// A request has begun to arrive.
    Reading,
    /// Requests are being answered. Limited where the peer takes nothing of an answer.
    Busy,
    /// Between two requests.
    Idle,
    /// The last response was sent, and reading on has limits of its own.
    Closing,
    /// The connection was handed over to another protocol.
    Switched,
}

/// One request in flight; ends when its response has been sent or given up.
#[derive(Debug)]
pub(super) struct InFlight {
    activity: Arc<Activity>,
    /// Its number on an HTTP/2 connection. On HTTP/1 a write that stalls tells as much.
    stream: Option<u64>,
    /// How long the peer may take nothing now: what it has used up by taking little before, it has no more.
    patience: Duration,
    /// How many bytes it is to take.
    bytes: u64,
    /// Since when the response's own body is waited for.
    since: Option<Instant>,
}

/// How many bytes a second a peer takes at least, beyond its patience: who takes less only holds the response up. On HTTP/1 a write
/// goes on when a good part of the system's buffer is free, which is more than that already.
const LEAST_PER_SECOND: u64 = 240;

/// How long one that has come shortly before the server stops may take to say something, from when it came.
pub(super) const OPENING: Duration = Duration::from_millis(500);

impl Activity {
    pub(super) fn new(config: &ServerConfig) -> Self {
        Self {
            state: Mutex::new(State {
                phase: Phase::Opening,
                since: Some(Instant::now()),
                requests: 0,
                begun: 0,
                sending: Vec::new(),
                http2: false,
                within_head: false,
                unsent: false,
                bare: false,
                ended: false,
                leaves: false,
            }),
            connection: Mutex::new(None),
            drains_since: OnceLock::new(),
            late: AtomicBool::new(false),
            header_timeout: config.header_timeout,
            keep_alive_idle: config.keep_alive_idle,
            write_timeout: config.write_timeout,
            arrival: config.drain_timeout / 2,
        }
    }

    /// Bytes came in. Where they are HTTP they are `read`, which says whether they end within the head of a request of HTTP/1.
    pub(super) fn received(&self, read: impl FnOnce() -> bool) {
        let mut state = self.state.lock();
        if state.phase == Phase::Switched {
            return;
        }
        state.within_head = read();
        match state.phase {
            Phase::Opening => state.phase = Phase::Reading,
            // Of what else may come, such as pings or empty lines, none is a request; one that is whole begins at once.
            Phase::Idle if state.within_head => (state.phase, state.since) = (Phase::Reading, None),
            _ => {}
        }
    }

    /// A TLS handshake has begun, or has just ended: the connection rests, and has not asked, but may be about to.
    pub(super) fn shakes_hands(&self) {
        self.state.lock().within_head = true;
    }

    /// The peer does not take all that was written, or has taken all now: until then nothing that rests or arrives is timed.
    pub(super) fn holds_unsent(&self, unsent: bool) {
        let mut state = self.state.lock();
        (state.unsent, state.since) = (unsent, None);
    }

    /// Whether the first request, or the head of another, is on its way, with nothing written before it that the peer has not taken.
    pub(super) fn awaits_request(&self) -> bool {
        let state = self.state.lock();
        state.phase == Phase::Opening || (state.phase == Phase::Reading && state.within_head && !state.unsent)
    }

    /// What has come in is the preface of HTTP/2: from here on the connection rests until it is asked something.
    pub(super) fn speaks_http2(&self) {
        let mut state = self.state.lock();
        if state.phase == Phase::Reading {
            (state.phase, state.since, state.http2) = (Phase::Idle, None, true);
        }
    }

    /// A request has not arrived in time; says whether that is news.
    pub(super) fn give_up(&self) -> bool {
        !self.late.swap(true, Ordering::Relaxed)
    }

    /// Whether the request that arrives was [given up](Self::give_up).
    pub(super) fn is_late(&self) -> bool {
        self.late.load(Ordering::Relaxed)
    }

    pub(super) fn begin(self: &Arc<Self>, http2: bool) -> InFlight {
        let mut state = self.state.lock();
        state.phase = Phase::Busy;
        state.requests += 1;
        state.begun += 1;
        (state.http2, state.bare) = (http2, false);
        let stream = http2.then_some(state.begun);
        drop(state);
        InFlight { activity: Arc::clone(self), stream, patience: self.write_timeout, bytes: 0, since: None }
    }

    /// The service has answered: with a refusal without a word, or otherwise.
    pub(super) fn answered(&self, bare: bool) {
        self.state.lock().bare = bare;
    }

    /// Whether what is written now is no answer of the service's.
    pub(super) fn answers_nobody(&self) -> bool {
        let state = self.state.lock();
        state.requests == 0 && !state.bare && !state.http2 && state.phase != Phase::Switched
    }

    /// Nothing more comes in; says whether something is to be answered first. Another protocol minds its end itself.
    pub(super) fn ends_after_answer(&self) -> Option<bool> {
        let mut state = self.state.lock();
        state.ended = state.phase == Phase::Busy;
        (state.phase != Phase::Switched).then_some(state.ended)
    }

    /// Whether the server stops.
    pub(super) fn drains(&self) -> bool {
        self.drains_since.get().is_some()
    }

    /// The connection goes on in another protocol.
    pub(super) fn switch(&self) {
        self.state.lock().phase = Phase::Switched;
    }

    /// The last response was sent; says whether the connection is still HTTP.
    pub(super) fn close(&self) -> bool {
        let mut state = self.state.lock();
        if state.phase == Phase::Switched {
            return false;
        }
        state.phase = Phase::Closing;
        true
    }

    /// The phase, and when it is over; a busy connection is bounded by what it serves, and by what the peer takes of it. So is one whose
    /// peer has not taken yet what was written.
    pub(super) fn deadline(&self) -> Option<(Phase, Instant)> {
        let mut state = self.state.lock();
        if state.phase == Phase::Busy {
            return state.sending.iter().map(|(_, until)| *until).min().map(|until| (Phase::Busy, until));
        }
        if state.unsent {
            return None;
        }
        let limit = match state.phase {
            Phase::Opening | Phase::Idle if state.leaves => Duration::ZERO,
            Phase::Opening | Phase::Reading => self.header_timeout,
            Phase::Idle => self.keep_alive_idle,
            Phase::Busy | Phase::Closing | Phase::Switched => return None,
        };
        let since = *state.since.get_or_insert_with(Instant::now);
        let until = since + limit;
        let Some(drains_since) = self.drains_since.get() else { return Some((state.phase, until)) };
        let arrives_by = *drains_since + self.arrival;
        let until = match state.phase {
            // A handshake has a limit of its own.
            Phase::Opening if state.within_head && !state.leaves => arrives_by,
            // Who has come long ago without a word does not ask now.
            Phase::Opening => until.min(arrives_by).min(since + OPENING),
            Phase::Reading => until.min(arrives_by),
            _ => until,
        };
        Some((state.phase, until))
    }

    /// Whether there are requests besides those whose responses the peer has not taken in time.
    pub(super) fn serves_others(&self) -> bool {
        let state = self.state.lock();
        let now = Instant::now();
        state.sending.iter().filter(|(_, until)| *until <= now).count() < state.requests
    }

    /// Since when nothing is asked, nor left to be taken, if that is so.
    pub(super) fn rests_since(&self) -> Option<Instant> {
        self.state.lock().rests_since()
    }

    /// Is to leave as soon as it can, if it rests since then; tells whoever drives it only when [woken](Self::wake).
    ///
    /// # Errors
    /// Since when it rests, if it does, and is not to leave already.
    pub(super) fn leave_if_since(&self, time: Instant) -> Result<(), Option<Instant>> {
        let mut state = self.state.lock();
        let since = state.rests_since().filter(|_| !state.leaves);
        if since != Some(time) {
            return Err(since);
        }
        state.leaves = true;
        Ok(())
    }

    /// Whether it is to make room for others.
    pub(super) fn leaves(&self) -> bool {
        self.state.lock().leaves
    }

    /// Ends the connection once what was asked is answered: the server stops, since then.
    pub(super) fn drain(&self, since: Instant) {
        let _ = self.drains_since.set(since);
        self.wake();
    }

    /// Ready once it is to [leave](Self::leaves), or has not come far enough by its deadline in a [drain](Self::drain), for whoever has no
    /// other.
    pub(super) async fn left(&self) {
        let mut timer = pin!(sleep_until(Instant::now()));
        poll_fn(|cx| {
            if !self.attend(cx.waker(), false) && !self.leaves() {
                return Poll::Pending;
            }
            let Some((_, until)) = self.deadline().filter(|(_, until)| Instant::now() < *until) else {
                return Poll::Ready(());
            };
            timer.as_mut().reset(until);
            timer.as_mut().poll(cx)
        })
        .await;
    }

    /// Whether it is to [drain](Self::drain). Wakes `waker` when it is later, and when the last request of HTTP/2 ends, which happens on
    /// another task. Once it `is_known` it need not be told again.
    pub(super) fn attend(&self, waker: &Waker, is_known: bool) -> bool {
        if !is_known {
            *self.connection.lock() = Some(waker.clone());
        }
        self.drains()
    }

    /// Says to whoever drives the connection that something has changed.
    pub(super) fn wake(&self) {
        let connection = self.connection.lock().clone();
        connection.iter().for_each(Waker::wake_by_ref);
    }
}

impl State {
    fn rests_since(&self) -> Option<Instant> {
        let rests = matches!(self.phase, Phase::Opening | Phase::Idle) && !self.unsent;
        self.since.filter(|_| rests)
    }
}

impl InFlight {
    /// Whether other responses go on beside it.
    pub(super) fn is_multiplexed(&self) -> bool {
        self.stream.is_some()
    }

    /// A part of the response, of so many bytes, is on its way to the peer, which may not take it.
    pub(super) fn sending(&mut self, bytes: usize) {
        let Some(stream) = self.stream else { return };
        self.bytes = bytes as u64;
        let now = Instant::now();
        if let Some(since) = self.since.take() {
            // A peer that is sent nothing cannot take anything, and may have waited for its turn behind other responses before.
            self.patience = self.patience.saturating_add(now - since).min(self.activity.write_timeout);
        }
        let mut state = self.activity.state.lock();
        let first = state.sending.is_empty();
        state.sending.push((stream, now + self.patience));
        drop(state);
        if first {
            self.activity.wake();
        }
    }

    /// The peer has taken what there was.
    pub(super) fn taken(&mut self) {
        let Some(stream) = self.stream else { return };
        let mut state = self.activity.state.lock();
        let Some(at) = state.sending.iter().position(|(other, _)| *other == stream) else { return };
        let (_, until) = state.sending.swap_remove(at);
        drop(state);
        let earned = Duration::from_millis(self.bytes.saturating_mul(1_000) / LEAST_PER_SECOND);
        let now = Instant::now();
        self.since = Some(now);
        let left = until.saturating_duration_since(now);
        self.patience = left.saturating_add(earned).min(self.activity.write_timeout);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.taken();
        let mut state = self.activity.state.lock();
        state.requests = state.requests.saturating_sub(1);
        if state.requests == 0 && state.phase == Phase::Busy {
            // What came behind the last request is with hyper already.
            (state.phase, state.since) = (if state.within_head { Phase::Reading } else { Phase::Idle }, None);
            let ended = state.ended;
            drop(state);
            // On HTTP/1 that is within the connection's own turn, which ends with a look at its deadline; only the end that was kept
            // from it is to be read.
            if self.stream.is_some() || ended {
                self.activity.wake();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::AtomicUsize, task::Wake};

    use super::*;

    #[test]
    fn whoever_drives_it_is_told_of_every_change() {
        #[derive(Default)]
        struct Woken(AtomicUsize);
        impl Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let (activity, woken) = (Activity::new(&ServerConfig::default()), Arc::<Woken>::default());
        let waker = Waker::from(Arc::clone(&woken));
        assert!(!activity.attend(&waker, false));
        for times in 1..=3 {
            activity.wake();
            assert_eq!(woken.0.load(Ordering::Relaxed), times);
            assert!(!activity.attend(&waker, true));
        }
        activity.drain(Instant::now());
        assert!(activity.attend(&waker, true) && woken.0.load(Ordering::Relaxed) == 4);
    }

    #[tokio::test(start_paused = true)]
    async fn each_phase_has_its_limit() {
        let config = ServerConfig::default();
        let activity = Arc::new(Activity::new(&config));
        let start = Instant::now();
        assert_eq!(activity.deadline(), Some((Phase::Opening, start + config.header_timeout)));
        let request = activity.begin(false);
        assert_eq!(activity.deadline(), None);
        drop(request);
        assert_eq!(activity.deadline(), Some((Phase::Idle, start + config.keep_alive_idle)));
        tokio::time::advance(Duration::from_secs(1)).await;
        activity.received(|| true);
        let read_by = Some((Phase::Reading, start + Duration::from_secs(1) + config.header_timeout));
        assert_eq!(activity.deadline(), read_by);
        tokio::time::advance(Duration::from_secs(1)).await;
        activity.received(|| true);
        assert_eq!(activity.deadline(), read_by);
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_while_the_server_stops_has_less_time() {
        let config = ServerConfig::default();
        let began = |says: fn(&Activity)| {
            let activity = Activity::new(&config);
            says(&activity);
            activity
        };
        let silent = began(|_| ());
        tokio::time::advance(OPENING / 2).await;
        let (new, shakes, asks) = (began(|_| ()), began(Activity::shakes_hands), began(|new| new.received(|| true)));
        tokio::time::advance(OPENING / 2).await;
        let now = Instant::now();
        for (activity, phase, left) in [
            (&silent, Phase::Opening, Duration::ZERO),
            (&new, Phase::Opening, OPENING / 2),
            (&shakes, Phase::Opening, config.drain_timeout / 2),
            (&asks, Phase::Reading, config.drain_timeout / 2),
        ] {
            activity.drain(now);
            assert_eq!(activity.deadline(), Some((phase, now + left)));
        }
        // Long since over for one that is silent; who shakes hands goes on.
        silent.left().await;
        assert_eq!(Instant::now(), now);
        shakes.left().await;
        assert!(Instant::now() >= now + config.drain_timeout / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_that_is_not_taken_has_a_limit_on_http2() {
        let config = ServerConfig::default();
        let activity = Arc::new(Activity::new(&config));
        let (mut slow, mut other) = (activity.begin(true), activity.begin(true));
        slow.sending(1_000_000);
        let since = Instant::now();
        tokio::time::advance(Duration::from_secs(1)).await;
        other.sending(0);
        assert_eq!(activity.deadline(), Some((Phase::Busy, since + config.write_timeout)));
        slow.taken();
        assert_eq!(activity.deadline(), Some((Phase::Busy, Instant::now() + config.write_timeout)));
        drop(other);
        assert_eq!(activity.deadline(), None, "the slow one waits for its own body");
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_that_is_taken_by_little_has_less_and_less_patience() {
        let config = ServerConfig::default();
        let activity = Arc::new(Activity::new(&config));
        let mut drip = activity.begin(true);
        for (bytes, used) in [(LEAST_PER_SECOND, 0), (0, 9), (10_000_000, 19)] {
            drip.sending(usize::try_from(bytes).unwrap());
            let patience = config.write_timeout - Duration::from_secs(used);
            assert_eq!(activity.deadline(), Some((Phase::Busy, Instant::now() + patience)));
            tokio::time::advance(Duration::from_secs(10)).await;
            drip.taken();
        }
        drip.sending(0);
        let whole = Instant::now() + config.write_timeout;
        assert_eq!(activity.deadline(), Some((Phase::Busy, whole)), "a peer that takes much has it all");
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_regains_patience_while_its_body_has_nothing() {
        let config = ServerConfig::default();
        let activity = Arc::new(Activity::new(&config));
        let mut events = activity.begin(true);
        // Each event waits for its turn behind a download, and is little; more of them than the patience lasts for.
        for _ in 0..10 {
            events.sending(0);
            tokio::time::advance(Duration::from_secs(10)).await;
            events.taken();
            // It is asked more than once.
            tokio::time::advance(Duration::from_secs(4)).await;
            events.taken();
            tokio::time::advance(Duration::from_secs(5)).await;
        }
        events.sending(0);
        let left = config.write_timeout - Duration::from_secs(10);
        assert_eq!(activity.deadline(), Some((Phase::Busy, Instant::now() + left)));
    }

    #[tokio::test(start_paused = true)]
    async fn http2_rests_from_its_preface_on() {
        let config = ServerConfig::default();
        let activity = Arc::new(Activity::new(&config));
        activity.received(|| false);
        activity.speaks_http2();
        activity.received(|| false);
        assert_eq!(activity.deadline(), Some((Phase::Idle, Instant::now() + config.keep_alive_idle)));
    }

    #[tokio::test]
    async fn a_ping_on_http2_is_no_request() {
        let activity = Arc::new(Activity::new(&ServerConfig::default()));
        drop(activity.begin(true));
        activity.received(|| false);
        assert_eq!(activity.deadline().map(|(phase, _)| phase), Some(Phase::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_head_behind_a_request_is_waited_for_from_its_answer_on() {
        let config = ServerConfig::default();
        let activity = Arc::new(Activity::new(&config));
        let behind = |within_head: bool| {
            let request = activity.begin(false);
            activity.received(|| within_head);
            drop(request);
            activity.deadline()
        };
        assert_eq!(behind(true), Some((Phase::Reading, Instant::now() + config.header_timeout)));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(behind(false), Some((Phase::Idle, Instant::now() + config.keep_alive_idle)));
        tokio::time::advance(Duration::from_secs(1)).await;
        activity.received(|| false);
        assert_eq!(activity.deadline().map(|(phase, _)| phase), Some(Phase::Idle), "an empty line is no request");
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_peer_has_not_taken_is_no_rest() {
        let config = ServerConfig::default();
        let activity = Arc::new(Activity::new(&config));
        drop(activity.begin(false));
        activity.holds_unsent(true);
        tokio::time::advance(config.keep_alive_idle * 2).await;
        assert_eq!((activity.deadline(), activity.rests_since()), (None, None));
        activity.holds_unsent(false);
        let now = Instant::now();
        assert_eq!(activity.deadline(), Some((Phase::Idle, now + config.keep_alive_idle)));
        assert_eq!(activity.rests_since(), Some(now));
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_meanwhile_does_not_leave() {
        let activity = Arc::new(Activity::new(&ServerConfig::default()));
        let since = activity.rests_since().unwrap();
        let request = activity.begin(false);
        assert_eq!(activity.leave_if_since(since), Err(None));
        tokio::time::advance(Duration::from_secs(1)).await;
        drop(request);
        let (_, until) = activity.deadline().unwrap();
        assert!(until > since && !activity.leaves());
        assert_eq!(activity.leave_if_since(since), Err(Some(Instant::now())));
        assert_eq!(activity.leave_if_since(Instant::now()), Ok(()));
        assert!(activity.leaves());
        assert_eq!(activity.leave_if_since(Instant::now()), Err(None), "it does already");
    }
}

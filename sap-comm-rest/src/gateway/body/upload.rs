use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::SizeHint;
use parking_lot::Mutex;
use sap_comm_core::{ApiError, BoxError, ErrorCode};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use super::RequestBody;
use crate::stall::Stall;

/// A request body, as seen by whoever sends it: gives the body out, again if nothing was taken from it, and knows how
/// far it came.
#[derive(Debug, Clone)]
pub(in crate::gateway) struct Upload(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    source: Mutex<Source>,
    hint: SizeHint,
    limit: u64,
    stall_timeout: Duration,
    begun: Instant,
    /// When the last bytes went through, in milliseconds since the beginning.
    progress: AtomicU64,
    /// Whether all of it was handed over.
    sent: AtomicBool,
    fault: OnceLock<UploadFault>,
}

/// The client's body, and what was taken from it, for as long as that may be sent again.
#[derive(Debug)]
struct Source {
    body: RequestBody,
    ended: bool,
    taken: u64,
    kept: Vec<Bytes>,
    /// How many bytes may be kept.
    keep: u64,
    /// Whether everything that was taken is kept.
    whole: bool,
    /// How long it is, if it says so.
    length: Option<u64>,
    /// Among those that are still on their way.
    place: Option<OwnedSemaphorePermit>,
    /// Which sending may take from it: the last.
    sending: u32,
}

/// How many bytes a second a client sends at least, beyond its patience: what takes longer is no slow network.
const LEAST_PER_SECOND: u64 = 240;

/// So many bytes of a body are awaited before anybody is asked.
const SHORT: u64 = 16 * 1024;

/// However small they are, so many pieces are kept at most.
const MAX_PIECES: usize = 64;

/// What a client did wrong with its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in crate::gateway) enum UploadFault {
    #[error("the body is over the limit of {0} bytes")]
    TooLarge(u64),
    #[error("the body stopped arriving")]
    Stalled,
    #[error("the body broke off, or is not well-formed")]
    Broken,
}

/// The body of a request to an upstream.
#[derive(Debug)]
pub(in crate::gateway) struct UploadBody {
    shared: Arc<Shared>,
    number: u32,
    /// How many of the kept pieces were sent again.
    again: usize,
    sent: u64,
    stall: Stall,
    /// How long the client was waited for in all, and since when it is now.
    waited: Duration,
    waits_since: Option<Instant>,
}

impl Upload {
    /// `None` for a request without a body. Up to `keep` bytes of it can be sent again.
    pub(in crate::gateway) fn new(body: RequestBody, limit: u64, keep: u64, stall_timeout: Duration) -> Option<Self> {
        if body.is_empty() {
            return None;
        }
        let hint = body.size_hint();
        let source = Source {
            ended: false,
            taken: 0,
            kept: Vec::new(),
            keep,
            whole: true,
            length: hint.exact(),
            body,
            place: None,
            sending: 0,
        };
        Some(Self(Arc::new(Shared {
            hint,
            source: Mutex::new(source),
            limit,
            stall_timeout,
            begun: Instant::now(),
            progress: AtomicU64::new(0),
            sent: AtomicBool::new(false),
            fault: OnceLock::new(),
        })))
    }

    /// Refuses a body that says it is over the limit.
    pub(in crate::gateway) fn check_announced(&self) -> Result<(), UploadFault> {
        if self.0.hint.lower() > self.0.limit { Err(UploadFault::TooLarge(self.0.limit)) } else { Ok(()) }
    }

    /// Ready once it has come as a whole, or is known to be no short one: whether it has come. Nothing of it was given out yet.
    pub(in crate::gateway) fn poll_come(&self, cx: &mut Context<'_>) -> Poll<Result<bool, UploadFault>> {
        let mut source = self.0.source.lock();
        if source.length.is_some_and(|length| length > SHORT) {
            return Poll::Ready(Ok(false));
        }
        loop {
            if source.has_come() {
                return Poll::Ready(Ok(true));
            }
            if source.taken > self.0.limit {
                return Poll::Ready(Err(UploadFault::TooLarge(self.0.limit)));
            }
            if source.taken > SHORT {
                return Poll::Ready(Ok(false));
            }
            if source.kept.len() >= MAX_PIECES {
                let one = source.kept.concat();
                source.kept = vec![one.into()];
            }
            match ready!(source.poll_take(cx)) {
                Some(Ok(data)) => source.kept.push(data),
                Some(Err(error)) => return Poll::Ready(Err(broken(&*error))),
                None => {}
            }
        }
    }

    /// Whether nothing of it is still on its way.
    pub(in crate::gateway) fn has_come(&self) -> bool {
        self.0.source.lock().has_come()
    }

    /// Keeps its place until all of it has come.
    pub(in crate::gateway) fn holds(&self, place: OwnedSemaphorePermit) {
        self.0.source.lock().place = Some(place);
    }

    /// The body from its beginning. An earlier one gives out nothing more.
    pub(in crate::gateway) fn body(&self) -> UploadBody {
        let mut source = self.0.source.lock();
        source.sending += 1;
        let number = source.sending;
        drop(source);
        self.0.sent.store(false, Ordering::Relaxed);
        let shared = Arc::clone(&self.0);
        UploadBody {
            shared,
            number,
            again: 0,
            sent: 0,
            stall: Stall::default(),
            waited: Duration::ZERO,
            waits_since: None,
        }
    }

    /// Whether it can be sent from its beginning.
    pub(in crate::gateway) fn is_whole(&self) -> bool {
        self.0.source.lock().whole
    }

    /// Whether nothing of it is left to be sent.
    pub(in crate::gateway) fn is_sent(&self) -> bool {
        self.0.sent.load(Ordering::Relaxed)
    }

    pub(in crate::gateway) fn last_progress(&self) -> Instant {
        self.0.begun + Duration::from_millis(self.0.progress.load(Ordering::Relaxed))
    }

    pub(in crate::gateway) fn fault(&self) -> Option<UploadFault> {
        self.0.fault.get().copied()
    }
}

impl UploadBody {
    /// How long it is, if that is known from the beginning.
    pub(in crate::gateway) fn length(&self) -> Option<u64> {
        self.shared.hint.exact()
    }

    /// The next piece of it.
    pub(in crate::gateway) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, UploadFault>>> {
        let taken = {
            let mut source = self.shared.source.lock();
            if source.sending != self.number || !(source.whole || self.sent == source.taken) {
                return Poll::Ready(Some(Err(UploadFault::Broken)));
            }
            source.poll_data(self.again, cx)
        };
        match taken {
            Poll::Ready(Some(Ok(data))) => {
                self.again += 1;
                self.progressed();
                self.sent = self.sent.saturating_add(data.len() as u64);
                if self.sent > self.shared.limit {
                    return self.fail(UploadFault::TooLarge(self.shared.limit));
                }
                if self.shared.hint.exact() == Some(self.sent) {
                    self.shared.sent.store(true, Ordering::Relaxed);
                }
                Poll::Ready(Some(Ok(data)))
            }
            Poll::Ready(Some(Err(error))) => self.fail(broken(&*error)),
            Poll::Ready(None) => {
                self.progressed();
                self.shared.sent.store(true, Ordering::Relaxed);
                Poll::Ready(None)
            }
            Poll::Pending => {
                self.waits_since.get_or_insert_with(Instant::now);
                ready!(self.stall.poll_over(self.patience(), cx));
                self.fail(UploadFault::Stalled)
            }
        }
    }

    /// How long the client may be silent now: what it has used up by a slow body before, it has no more.
    fn patience(&self) -> Duration {
        let stall_timeout = self.shared.stall_timeout;
        let earned = Duration::from_secs(self.sent / LEAST_PER_SECOND);
        stall_timeout.saturating_add(earned).saturating_sub(self.waited).min(stall_timeout)
    }

    fn progressed(&mut self) {
        self.stall.progressed();
        if let Some(since) = self.waits_since.take() {
            self.waited += since.elapsed();
        }
        let elapsed = u64::try_from(self.shared.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.shared.progress.store(elapsed, Ordering::Relaxed);
    }

    fn fail(&self, fault: UploadFault) -> Poll<Option<Result<Bytes, UploadFault>>> {
        // The first fault is the cause of later ones.
        let fault = *self.shared.fault.get_or_init(|| fault);
        Poll::Ready(Some(Err(fault)))
    }
}

impl Source {
    /// Whether nothing of it is still on its way.
    fn has_come(&self) -> bool {
        self.ended || self.length == Some(self.taken)
    }

    /// The piece of this number. What was taken is forgotten with the last piece that is kept, if it may not be sent again.
    fn poll_data(&mut self, number: usize, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        let kept = self.kept.get(number).cloned();
        let is_new = kept.is_none();
        let piece = match kept {
            Some(data) => Some(Ok(data)),
            None => ready!(self.poll_take(cx)),
        };
        if let Some(Ok(data)) = &piece {
            if self.whole && self.taken <= self.keep && (!is_new || self.kept.len() < MAX_PIECES) {
                if is_new {
                    self.kept.push(data.clone());
                }
            } else if is_new || number + 1 == self.kept.len() {
                self.whole = false;
                self.kept = Vec::new();
            }
        }
        Poll::Ready(piece)
    }

    /// The next piece of the client's body.
    fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let taken = match ready!(self.body.poll_data(cx)) {
            // Trailers are left out: they could name what was checked in the headers.
            Some(Ok(frame)) => frame.into_data().ok().map(Ok),
            other => other.map(|failed| failed.map(|_| Bytes::new())),
        };
        match &taken {
            Some(Ok(data)) => self.taken = self.taken.saturating_add(data.len() as u64),
            _ => self.ended = true,
        }
        if self.has_come() {
            self.place = None;
        }
        Poll::Ready(taken)
    }
}

fn broken(error: &(dyn std::error::Error + Send + Sync + 'static)) -> UploadFault {
    tracing::debug!(error = error as &(dyn std::error::Error + 'static), "request body");
    UploadFault::Broken
}

impl From<UploadFault> for ApiError {
    fn from(fault: UploadFault) -> Self {
        match fault {
            UploadFault::TooLarge(limit) => {
                Self::new(ErrorCode::PAYLOAD_TOO_LARGE, "The body is too large").detail("limit", limit)
            }
            UploadFault::Stalled => Self::new(ErrorCode::REQUEST_TIMEOUT, "The body stopped arriving"),
            UploadFault::Broken => Self::new(ErrorCode::BAD_REQUEST, "The body broke off, or is not well-formed"),
        }
    }
}

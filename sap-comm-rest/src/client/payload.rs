use axum::body::Body;
use bytes::Bytes;
use parking_lot::Mutex;

/// What a request sends.
#[derive(Debug)]
pub(super) enum Payload {
    Empty,
    Bytes(Bytes),
    /// Can be sent once.
    Stream(Mutex<Option<Body>>),
}

impl Payload {
    pub(super) fn is_replayable(&self) -> bool {
        !matches!(self, Self::Stream(_))
    }

    /// The body of one attempt.
    pub(super) fn body(&self) -> Body {
        match self {
            Self::Empty => Body::empty(),
            Self::Bytes(bytes) => Body::from(bytes.clone()),
            Self::Stream(body) => body.lock().take().unwrap_or_default(),
        }
    }
}

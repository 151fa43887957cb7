use std::{fmt, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use sap_comm_core::BoxError;

/// Keeps what idempotency keys stand for, and the answers.
///
/// [`claim`](IdempotencyStore::claim) is atomic: of several requests with one key, one gets it. A claim ends with its
/// lease; what its holder does later has no effect.
#[async_trait]
pub trait IdempotencyStore: fmt::Debug + Send + Sync {
    /// Takes a key for a request of this fingerprint, or says what is known of it. The caller is the kind and the id
    /// of the request's principal (`user:usr_1`), empty without one, for stores that bound what each may keep.
    ///
    /// # Errors
    /// When the store cannot be reached or is full; then the request is refused with 503.
    async fn claim(&self, key: &str, fingerprint: &str, caller: &str, lease: Duration) -> Result<Claim, BoxError>;

    /// Keeps the answer, unless the claim has ended and another has the key.
    ///
    /// # Errors
    /// When the store cannot be reached; the claim ends with its lease then.
    async fn keep(&self, key: &str, claim: &str, answer: &KeptAnswer, keep: Duration) -> Result<(), BoxError>;

    /// Gives the key back, so that the next request with it is carried out.
    ///
    /// # Errors
    /// As [`IdempotencyStore::keep`].
    async fn release(&self, key: &str, claim: &str) -> Result<(), BoxError>;
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// It is the caller's now, under this token.
    Taken(String),
    /// Another request has it, for so long at most.
    InProgress(Duration),
    /// The request was carried out.
    Done(KeptAnswer),
    /// It stands for another request.
    Reused,
    /// The caller has as many keys as one may; the request is refused with 429.
    TooMany {
        /// How many one may have.
        limit: usize,
        /// Until the first of them is over.
        retry_after: Duration,
    },
}

/// An answer that is kept for repetitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// The status.
    pub status: u16,
    /// The headers that the handler set, in their order; the bytes of their values are the characters of ISO 8859-1.
    pub headers: Vec<(String, String)>,
    /// The body; `None` when it was too large to keep.
    pub body: Option<Bytes>,
}

use std::{fmt, sync::Arc, time::Duration};

use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::Uri;
use sap_comm_core::{ApiError, ErrorCode, Secret, Timestamp, config::ConfigError};
use serde::{Serialize, de::DeserializeOwned};
use url::form_urlencoded;

use super::CursorQuery;
use crate::{
    options::{check, check_duration},
    server::idempotency::caller,
};

/// Seals positions into cursors and opens them again. Cheap to clone.
#[derive(Clone)]
pub struct CursorSealer(Arc<Inner>);

struct Inner {
    /// The first one seals, all of them open.
    keys: Vec<Key>,
    lifetime: Duration,
}

struct Key {
    id: [u8; ID],
    key: hmac::Key,
}

/// Builds a [`CursorSealer`].
#[derive(Debug, Clone)]
#[must_use = "nothing is built before `build`"]
pub struct CursorSealerBuilder {
    secrets: Vec<Secret<String>>,
    lifetime: Duration,
}

/// Bytes of a key's id, of the end of its time, and of a seal.
const ID: usize = 4;
const END: usize = 8;
const SEAL: usize = 32;

/// The least of a secret: as long as the hash.
const MIN_SECRET: usize = 32;

impl CursorSealer {
    /// Begins a sealer with this secret, of 32 bytes or more.
    pub fn builder(secret: impl Into<Secret<String>>) -> CursorSealerBuilder {
        CursorSealerBuilder { secrets: vec![secret.into()], lifetime: Duration::from_secs(24 * 3_600) }
    }

    /// A cursor for `position` in the list at `uri`, which is the request's `OriginalUri`.
    ///
    /// # Errors
    /// When the position cannot be written as JSON.
    pub fn seal(&self, position: &impl Serialize, uri: &Uri) -> Result<String, ApiError> {
        let Some(key) = self.0.keys.first() else { return Err(ApiError::internal("a sealer without a key")) };
        let ends = Timestamp::now().saturating_add(self.0.lifetime).as_secs();
        let mut cursor = key.id.to_vec();
        cursor.extend(ends.to_be_bytes());
        serde_json::to_writer(&mut cursor, position).map_err(ApiError::internal)?;
        let seal = key.seal(&cursor, uri);
        cursor.extend(seal.as_ref());
        Ok(BASE64_URL_SAFE_NO_PAD.encode(cursor))
    }

    /// The position that the query's cursor stands for; `None` without a cursor, at the beginning of the list.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` that names `cursor`: it is not ours, is over, or belongs to another list or caller.
    pub fn open<P: DeserializeOwned>(&self, query: &CursorQuery, uri: &Uri) -> Result<Option<P>, ApiError> {
        let Some(text) = &query.cursor else { return Ok(None) };
        let Some(position) = self.verified(text, uri) else {
            return Err(refused("it is no cursor of this list: begin again without one"));
        };
        if position.ends <= Timestamp::now().as_secs() {
            return Err(refused("its time is over: begin again without one"));
        }
        // Sealed by an earlier version of the service, perhaps.
        let opened = serde_json::from_slice(&position.json);
        opened.map(Some).map_err(|error| refused("it is of no use any more: begin again without one").caused_by(error))
    }

    fn verified(&self, text: &str, uri: &Uri) -> Option<Position> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let (sealed, seal) = bytes.split_at_checked(bytes.len().checked_sub(SEAL)?)?;
        let (id, rest) = sealed.split_at_checked(ID)?;
        let (ends, json) = rest.split_at_checked(END)?;
        let key = self.0.keys.iter().find(|key| key.id == id)?;
        key.verify(sealed, uri, seal).then_some(())?;
        Some(Position { ends: i64::from_be_bytes(ends.try_into().ok()?), json: json.to_vec() })
    }
}

struct Position {
    ends: i64,
    json: Vec<u8>,
}

impl Key {
    fn new(secret: &Secret<String>) -> Self {
        let bytes = secret.expose().as_bytes();
        let mut id = [0; ID];
        // Of the secret's hash, under another name, so that it says nothing about the key.
        let hash = digest(&SHA256, &[&b"sap-comm cursor key id\0"[..], bytes].concat());
        id.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
        Self { id, key: hmac::Key::new(hmac::HMAC_SHA256, bytes) }
    }

    fn seal(&self, sealed: &[u8], uri: &Uri) -> hmac::Tag {
        hmac::sign(&self.key, &message(sealed, uri))
    }

    fn verify(&self, sealed: &[u8], uri: &Uri, seal: &[u8]) -> bool {
        hmac::verify(&self.key, &message(sealed, uri), seal).is_ok()
    }
}

/// What is signed: the cursor, the list with its parameters in their order, and the caller, each with its length.
fn message(sealed: &[u8], uri: &Uri) -> Vec<u8> {
    let mut message = Vec::new();
    let mut add = |part: &[u8]| {
        message.extend(part.len().to_be_bytes());
        message.extend(part);
    };
    add(sealed);
    add(uri.path().as_bytes());
    let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let mut pairs: Vec<_> = pairs.filter(|(name, _)| !matches!(&**name, "cursor" | "limit")).collect();
    pairs.sort();
    for (name, value) in pairs {
        add(name.as_bytes());
        add(value.as_bytes());
    }
    add(caller().as_bytes());
    message
}

fn refused(reason: &str) -> ApiError {
    let message = format!("The query parameter cursor is not valid: {reason}");
    ApiError::new(ErrorCode::INVALID_ARGUMENT, message).detail("parameter", "cursor")
}

impl CursorSealerBuilder {
    /// Opens cursors that were sealed with an earlier secret, too; keep it for a cursor's lifetime after a change.
    pub fn previous(mut self, secret: impl Into<Secret<String>>) -> Self {
        self.secrets.push(secret.into());
        self
    }

    /// How long a cursor is good for. Default 24 h.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Builds the sealer.
    ///
    /// # Errors
    /// When a secret is too short, or there twice, or the lifetime is zero.
    pub fn build(self) -> Result<CursorSealer, ConfigError> {
        check_duration("lifetime", self.lifetime)?;
        let mut keys: Vec<Key> = Vec::with_capacity(self.secrets.len());
        for secret in &self.secrets {
            let length = secret.expose().len();
            check(length >= MIN_SECRET, "secret", "[redacted]", format!("has {length} bytes; 32 are the least"))?;
            let key = Key::new(secret);
            check(!keys.iter().any(|other| other.id == key.id), "previous", "[redacted]", "is there already")?;
            keys.push(key);
        }
        Ok(CursorSealer(Arc::new(Inner { keys, lifetime: self.lifetime })))
    }
}

impl fmt::Debug for CursorSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CursorSealer").field("lifetime", &self.0.lifetime).finish_non_exhaustive()
    }
}

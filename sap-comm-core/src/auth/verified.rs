use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_lc_rs::digest::{SHA256, digest};

use super::Claims;
use crate::Principal;

/// What a token was found to say.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) claims: Claims,
    pub(super) principal: Arc<Principal>,
}

/// SHA-256 of a token, so that no other token can pass for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TokenHash([u8; 32]);

/// The tokens that one generation of keys was found to have signed, within a bound.
///
/// It ends with its generation: what is verified by keys that were replaced meanwhile is remembered by nobody.
pub(super) struct VerifiedTokens {
    shards: [Mutex<Shard>; SHARDS],
    max_young: usize,
}

/// Two halves: what is asked for moves to the young one; when that is full, the old one is forgotten.
#[derive(Default)]
struct Shard {
    young: Tokens,
    old: Tokens,
}

type Tokens = HashMap<TokenHash, Arc<Verified>, BuildHasherDefault<Prefix>>;

const SHARDS: usize = 16;

impl TokenHash {
    pub(super) fn of(token: &str) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(hash)
    }
}

impl std::hash::Hash for TokenHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

/// Only verified tokens are kept, so nobody chooses where their hashes fall.
#[derive(Default)]
struct Prefix(u64);

impl Hasher for Prefix {
    fn write(&mut self, bytes: &[u8]) {
        if let Some((first, _)) = bytes.split_first_chunk() {
            self.0 = u64::from_ne_bytes(*first);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl VerifiedTokens {
    /// Keeps `max` tokens at most; none with 0.
    pub(super) fn new(max: usize) -> Self {
        Self { shards: Default::default(), max_young: max.div_ceil(2 * SHARDS) }
    }

    pub(super) fn get(&self, hash: &TokenHash) -> Option<Arc<Verified>> {
        let mut shard = self.shard(hash)?;
        if let Some(verified) = shard.young.get(hash) {
            return Some(Arc::clone(verified));
        }
        let verified = shard.old.remove(hash)?;
        shard.insert(*hash, Arc::clone(&verified), self.max_young);
        Some(verified)
    }

    pub(super) fn insert(&self, hash: TokenHash, verified: Arc<Verified>) {
        if let Some(mut shard) = self.shard(&hash) {
            shard.insert(hash, verified, self.max_young);
        }
    }

    pub(super) fn remove(&self, hash: &TokenHash) {
        if let Some(mut shard) = self.shard(hash) {
            shard.young.remove(hash);
            shard.old.remove(hash);
        }
    }

    fn shard(&self, hash: &TokenHash) -> Option<MutexGuard<'_, Shard>> {
        if self.max_young == 0 {
            return None;
        }
        // Not the bytes that choose a place within the shard.
        let shard = self.shards.get(usize::from(hash.0[31]) % SHARDS)?;
        Some(shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shard {
    fn insert(&mut self, hash: TokenHash, verified: Arc<Verified>, max_young: usize) {
        if self.young.len() >= max_young {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, verified);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Audience;

    fn verified() -> Arc<Verified> {
        let claims = Claims {
            iss: "auth-service".into(),
            sub: "usr_1".into(),
            aud: Audience::One("sap".into()),
            exp: 0,
            iat: None,
            nbf: None,
            jti: None,
            roles: Vec::new(),
            scope: String::new(),
        };
        Arc::new(Verified { principal: Arc::new(claims.principal()), claims })
    }

    #[test]
    fn the_bound_holds_and_what_is_asked_for_stays() {
        let tokens = VerifiedTokens::new(320);
        let (hot, verified) = (TokenHash::of("hot"), verified());
        tokens.insert(hot, Arc::clone(&verified));
        for number in 0..10_000 {
            tokens.insert(TokenHash::of(&number.to_string()), Arc::clone(&verified));
            assert!(tokens.get(&hot).is_some(), "{number}");
        }
        let count = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap();
            shard.young.len() + shard.old.len()
        };
        let kept: usize = tokens.shards.iter().map(count).sum();
        assert!((160..=320).contains(&kept), "{kept}");
        tokens.remove(&hot);
        assert!(tokens.get(&hot).is_none());
    }

    #[test]
    fn a_bound_of_zero_keeps_nothing() {
        let tokens = VerifiedTokens::new(0);
        tokens.insert(TokenHash::of("a"), verified());
        assert!(tokens.get(&TokenHash::of("a")).is_none());
    }
}

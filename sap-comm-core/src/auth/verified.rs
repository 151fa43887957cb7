use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use foldhash::quality::RandomState;

use super::Claims;
use crate::{Principal, Secret};

/// What a token was found to say.
#[derive(Debug)]
pub(super) struct Verified {
    token: Secret<Box<str>>,
    pub(super) claims: Claims,
    pub(super) principal: Arc<Principal>,
}

/// The tokens that one generation of keys was found to have signed, within a bound.
///
/// It ends with its generation: what is verified by keys that were replaced meanwhile is remembered by nobody.
pub(super) struct VerifiedTokens {
    shards: Box<[Mutex<Shard>]>,
    max_young: usize,
    hasher: RandomState,
}

/// Where a token is kept: a fast hash of it, which says nothing without the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place(u64);

/// Two halves: what is asked for moves to the young one; when that is full, the old one is forgotten. It shares no line of the cache
/// with another.
#[derive(Default)]
#[repr(align(128))]
struct Shard {
    young: Tokens,
    old: Tokens,
}

/// Of two tokens with one hash, the later is kept.
type Tokens = HashMap<Place, Arc<Verified>, BuildHasherDefault<Same>>;

const SHARDS: usize = 64;

/// Hashes a [`Place`], which is a hash already.
#[derive(Default)]
struct Same(u64);

impl Hasher for Same {
    /// A place is no bytes.
    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Verified {
    pub(super) fn new(token: &str, claims: Claims) -> Arc<Self> {
        let token = Secret::new(token.into());
        Arc::new(Self { token, principal: Arc::new(claims.principal()), claims })
    }

    fn is_of(&self, token: &str) -> bool {
        **self.token.expose() == *token
    }
}

impl VerifiedTokens {
    /// Keeps `max` tokens at most, rounded up to a multiple of 128; none with 0.
    pub(super) fn new(max: usize) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, max_young: max.div_ceil(2 * SHARDS), hasher: RandomState::default() }
    }

    pub(super) fn place_of(&self, token: &str) -> Place {
        Place(self.hasher.hash_one(token))
    }

    /// What this very token was found to say.
    pub(super) fn get(&self, place: Place, token: &str) -> Option<Arc<Verified>> {
        let mut shard = self.shard(place)?;
        if let Some(verified) = shard.young.get(&place) {
            return verified.is_of(token).then(|| Arc::clone(verified));
        }
        let verified = shard.old.remove(&place)?;
        shard.insert(place, Arc::clone(&verified), self.max_young);
        verified.is_of(token).then_some(verified)
    }

    pub(super) fn insert(&self, place: Place, verified: Arc<Verified>) {
        if let Some(mut shard) = self.shard(place) {
            shard.insert(place, verified, self.max_young);
        }
    }

    pub(super) fn remove(&self, place: Place) {
        if let Some(mut shard) = self.shard(place) {
            shard.young.remove(&place);
            shard.old.remove(&place);
        }
    }

    fn shard(&self, place: Place) -> Option<MutexGuard<'_, Shard>> {
        if self.max_young == 0 {
            return None;
        }
        // Not the bits that choose a place within the shard.
        let shard = self.shards.get((place.0 >> 32) as usize % SHARDS)?;
        Some(shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shard {
    fn insert(&mut self, place: Place, verified: Arc<Verified>, max_young: usize) {
        if self.young.len() >= max_young {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(place, verified);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Audience;

    fn insert(tokens: &VerifiedTokens, token: &str) -> Place {
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
        let place = tokens.place_of(token);
        tokens.insert(place, Verified::new(token, claims));
        place
    }

    #[test]
    fn the_bound_holds_and_what_is_asked_for_stays() {
        let tokens = VerifiedTokens::new(1_280);
        let hot = insert(&tokens, "hot");
        for number in 0..10_000 {
            insert(&tokens, &number.to_string());
            assert!(tokens.get(hot, "hot").is_some(), "{number}");
        }
        let count = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap();
            shard.young.len() + shard.old.len()
        };
        let kept: usize = tokens.shards.iter().map(count).sum();
        assert!((640..=1_280).contains(&kept), "{kept}");
        tokens.remove(hot);
        assert!(tokens.get(hot, "hot").is_none());
    }

    #[test]
    fn no_other_token_passes_for_one_that_has_its_hash() {
        let tokens = VerifiedTokens::new(1);
        let place = insert(&tokens, "a.b.c");
        assert!(tokens.get(place, "a.b.d").is_none());
        assert!(tokens.get(place, "a.b.c").is_some());
        // Another in the same half makes it an old one.
        tokens.insert(Place(place.0 ^ 1), tokens.get(place, "a.b.c").unwrap());
        assert!(tokens.get(place, "a.b.d").is_none());
    }

    #[test]
    fn a_bound_of_zero_keeps_nothing() {
        let tokens = VerifiedTokens::new(0);
        let place = insert(&tokens, "a");
        assert!(tokens.get(place, "a").is_none());
    }
}

use std::borrow::Cow;

use sha2::{Digest, Sha256};

/// Longer ids are noted by their digest: an entry of an index of PostgreSQL has 2,704 bytes at most, with the group in it, the lengths
/// of both and what aligns them.
const MAX: usize = 2_680;
/// What a digest begins with; no id of anybody's does, or it would be noted by its own.
const DIGEST: &str = "sap-comm:sha256:";

/// What an event's id is noted as by `group`: whatever a publisher calls it, two ids are two. PostgreSQL has no text with NUL.
pub(super) fn noted<'a>(group: &str, event_id: &'a str) -> Cow<'a, str> {
    if group.len() + event_id.len() <= MAX && !event_id.contains('\0') && !event_id.starts_with(DIGEST) {
        return event_id.into();
    }
    format!("{DIGEST}{:x}", Sha256::digest(event_id)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_noted_as_it_is_where_it_can_be() {
        let noted = |id| noted("audit", id);
        let long = "x".repeat(MAX - 4);
        for plain in ["evt_1", "sha256:abc", &long[1..]] {
            assert_eq!(noted(plain), plain);
        }
        let digest = noted("abc\0").into_owned();
        assert_eq!(digest.len(), DIGEST.len() + 64);
        let others = [noted(&long), noted("abc"), noted(&digest)];
        assert!(others.iter().all(|other| *other != digest) && others[0].starts_with(DIGEST));
    }
}

use std::{borrow::Cow, fmt::Write};

use sha2::{Digest, Sha256};

/// Longer ids are noted by their digest: PostgreSQL indexes no more than some 2,700 bytes.
const MAX: usize = 255;
/// What a digest begins with.
const DIGEST: &str = "sha256:";

/// What an event's id is noted as: whatever a publisher calls it, two ids are two. PostgreSQL has no text with NUL.
pub(super) fn noted(event_id: &str) -> Cow<'_, str> {
    if event_id.len() <= MAX && !event_id.contains('\0') && !event_id.starts_with(DIGEST) {
        return event_id.into();
    }
    let mut noted = DIGEST.to_owned();
    for byte in Sha256::digest(event_id) {
        // A String takes whatever is written.
        let _ = write!(noted, "{byte:02x}");
    }
    noted.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_noted_as_it_is_where_it_can_be() {
        let long = "x".repeat(256);
        assert_eq!(noted("evt_1"), "evt_1");
        assert_eq!(noted(&long[1..]), long[1..]);
        let digest = noted("abc\0").into_owned();
        assert_eq!(digest.len(), 71);
        let others = [noted(&long), noted("abc"), noted(&digest)];
        assert!(others.iter().all(|other| *other != digest) && others[0].starts_with("sha256:"));
    }
}

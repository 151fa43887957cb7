//! Identifiers: prefixed, unique and sortable by the time they were made.

use std::sync::atomic::{AtomicU64, Ordering};

use uuid::{Builder, Uuid, Variant, Version};

use crate::{Name, Timestamp};

/// Makes an identifier `{prefix}_{uuid v7}`, sortable by creation time within a prefix.
///
/// Any string is accepted as an identifier from others; this is only how ours are made.
#[must_use]
pub fn prefixed(prefix: &str) -> String {
    let mut buffer = [0_u8; uuid::fmt::Simple::LENGTH];
    let hex = sortable(Timestamp::now()).simple().encode_lower(&mut buffer);
    let mut id = String::with_capacity(prefix.len() + 1 + hex.len());
    id.push_str(prefix);
    id.push('_');
    id.push_str(hex);
    id
}

/// Makes an event identifier, `evt_…`.
#[must_use]
pub fn event() -> Name {
    event_at(Timestamp::now())
}

/// Makes a request identifier, `req_…`.
#[must_use]
pub fn request() -> Name {
    short(*b"req_", Timestamp::now())
}

/// Like [`event`], where the time is known.
pub(crate) fn event_at(now: Timestamp) -> Name {
    short(*b"evt_", now)
}

const PREFIX: usize = 4;
const LENGTH: usize = PREFIX + uuid::fmt::Simple::LENGTH;

/// An identifier that takes no memory of its own.
fn short(prefix: [u8; PREFIX], now: Timestamp) -> Name {
    let mut id = [0; LENGTH];
    id[..PREFIX].copy_from_slice(&prefix);
    sortable(now).simple().encode_lower(&mut id[PREFIX..]);
    std::str::from_utf8(&id).unwrap_or_default().into()
}

/// The milliseconds and the sequence number of the last identifier, over all threads.
static LAST: AtomicU64 = AtomicU64::new(0);
/// Bits of the sequence number: 16 million a second before the time runs ahead.
const SEQUENCE: u32 = 14;
/// Bits of the sequence number beside the version of the UUID; the others begin its second half.
const HIGH: u32 = 12;

/// A UUID of version 7, greater than every earlier one of this process: the milliseconds, a sequence number within them, and
/// 60 bits of chance.
fn sortable(now: Timestamp) -> Uuid {
    let now = u64::try_from(now.as_millis()).unwrap_or(0) << SEQUENCE;
    let following = |last: u64| now.max(last.wrapping_add(1));
    let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(following(last)));
    let this = following(last.unwrap_or_else(|last| last));
    let (millis, sequence) = (this >> SEQUENCE, this & ((1 << SEQUENCE) - 1));
    let low = SEQUENCE - HIGH;
    let first = (millis << 16) | (sequence >> low);
    let chance = Uuid::new_v4().as_u64_pair().1 & (u64::MAX >> 4);
    let second = ((sequence & ((1 << low) - 1)) << 60) | chance;
    Builder::from_u128((u128::from(first) << 64) | u128::from(second))
        .with_version(Version::SortRand)
        .with_variant(Variant::RFC4122)
        .into_uuid()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_sort_by_creation() {
        let ids: Vec<_> = (0..100_000).map(|_| event()).collect();
        assert!(ids.is_sorted());
        assert!(ids.iter().all(|id| id.starts_with("evt_") && id.len() == 36));
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
    }

    #[test]
    fn an_id_holds_a_uuid_with_its_time() {
        let now = Timestamp::now();
        let id = prefixed("usr");
        let uuid: Uuid = id["usr_".len()..].parse().unwrap();
        assert_eq!((uuid.get_version(), uuid.get_variant()), (Some(Version::SortRand), Variant::RFC4122));
        let (seconds, nanos) = uuid.get_timestamp().unwrap().to_unix();
        let made = seconds as i64 * 1_000 + i64::from(nanos / 1_000_000);
        assert!((now.as_millis()..now.as_millis() + 60_000).contains(&made), "{id}");
    }

    #[test]
    fn ids_of_several_threads_differ_and_sort() {
        let make = || (0..10_000).map(|_| request()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(make)).collect();
        let ids: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(ids.iter().all(|ids| ids.is_sorted()));
        assert_eq!(ids.iter().flatten().collect::<HashSet<_>>().len(), 40_000);
    }
}

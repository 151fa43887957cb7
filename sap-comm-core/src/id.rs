//! Identifiers: prefixed, unique and sortable by the time they were made.

use uuid::Uuid;

/// Makes an identifier `{prefix}_{uuid v7}`, sortable by creation time within a prefix.
///
/// Any string is accepted as an identifier from others; this is only how ours are made.
#[must_use]
pub fn prefixed(prefix: &str) -> String {
    let mut buffer = [0_u8; uuid::fmt::Simple::LENGTH];
    let hex = Uuid::now_v7().simple().encode_lower(&mut buffer);
    let mut id = String::with_capacity(prefix.len() + 1 + hex.len());
    id.push_str(prefix);
    id.push('_');
    id.push_str(hex);
    id
}

/// Makes an event identifier, `evt_…`.
#[must_use]
pub fn event() -> String {
    prefixed("evt")
}

/// Makes a request identifier, `req_…`.
#[must_use]
pub fn request() -> String {
    prefixed("req")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_creation() {
        let ids: Vec<_> = (0..1_000).map(|_| event()).collect();
        assert!(ids.is_sorted());
        assert!(ids.iter().all(|id| id.starts_with("evt_") && id.len() == 36));
    }
}

//! What is taken out of a message before it goes on, and what is put in.

mod forged;
mod framing;
mod hop;
mod max_forwards;
mod rewritten;
mod via;

use http::{HeaderMap, HeaderName, HeaderValue};

pub(super) use forged::{strip_delegated, strip_forged};
pub(super) use framing::{BodyLines, check_framing, host};
pub(super) use hop::strip_hop_by_hop;
pub(super) use max_forwards::goes_no_further;
pub(super) use rewritten::{Rewritten, Whose};
pub(super) use via::Via;

/// The lines of one name.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lines<'a> {
    pub(super) first: Option<&'a HeaderValue>,
    pub(super) count: usize,
}

/// The lines of each of these names. To look at every header of a usual head once costs less than to look for each name.
pub(super) fn lines_of<'a, const N: usize>(headers: &'a HeaderMap, names: [&HeaderName; N]) -> [Lines<'a>; N] {
    let mut found = [Lines::default(); N];
    for (name, value) in headers {
        if let Some((_, lines)) = names.iter().zip(&mut found).find(|(wanted, _)| **wanted == name) {
            lines.first.get_or_insert(value);
            lines.count += 1;
        }
    }
    found
}

/// Takes out the headers whose name fits. One walk finds them: most messages have none.
fn remove_if(headers: &mut HeaderMap, mut fits: impl FnMut(&str) -> bool) {
    let found: Vec<HeaderName> = headers.keys().filter(|name| fits(name.as_str())).cloned().collect();
    for name in found {
        headers.remove(name);
    }
}

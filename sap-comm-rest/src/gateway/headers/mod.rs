//! What is taken out of a message before it goes on, and what is put in.

mod forged;
mod framing;
mod hop;
mod max_forwards;
mod rewritten;
mod via;

use http::{HeaderMap, HeaderName};

pub(super) use forged::{strip_delegated, strip_forged};
pub(super) use framing::{check_framing, host};
pub(super) use hop::strip_hop_by_hop;
pub(super) use max_forwards::goes_no_further;
pub(super) use rewritten::{Rewritten, Whose};
pub(super) use via::Via;

/// Takes out the headers whose name fits. One walk finds them: most messages have none.
fn remove_if(headers: &mut HeaderMap, mut fits: impl FnMut(&str) -> bool) {
    let found: Vec<HeaderName> = headers.keys().filter(|name| fits(name.as_str())).cloned().collect();
    for name in found {
        headers.remove(name);
    }
}

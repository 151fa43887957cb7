//! What is taken out of a message before it goes on, and what is put in.

mod forged;
mod framing;
mod hop;

pub(super) use forged::strip_forged;
pub(super) use framing::{check_framing, host};
pub(super) use hop::strip_hop_by_hop;

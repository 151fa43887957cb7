//! What the layers share: a call that waits for its service's readiness itself.
//!
//! Every layer of this crate is always ready and drives a fresh clone of the inner service inside the call. An idle
//! clone therefore holds no reservation, a wait for readiness is inside timeouts and permits, and nothing that
//! `poll_ready` reserved is held across a back-off.

mod ready_call;

pub(crate) use ready_call::ReadyCall;

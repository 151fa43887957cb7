//! The gateway in front of real listeners.

mod access;
mod attacks;
mod breaker;
mod configuration;
mod corpus;
mod differential;
mod early_answers;
mod forwarding;
mod http2;
mod identity;
mod limits;
mod local;
mod log;
mod responses;
mod routing;
mod streaming;
mod support;
mod timeouts;
mod upgrade;
mod witness;

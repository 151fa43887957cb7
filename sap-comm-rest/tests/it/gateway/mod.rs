//! The gateway in front of real listeners.

mod access;
mod admin;
mod anonymous;
mod attacks;
mod breaker;
mod configuration;
mod corpus;
mod cors;
mod differential;
mod downgrade;
mod early_answers;
mod forwarding;
mod half_closed;
mod http2;
mod identity;
mod isolation;
mod limits;
mod local;
mod log;
mod over_tls;
mod reload;
mod replaced;
mod responses;
mod retry;
mod routing;
mod secrets;
#[cfg(feature = "redis")]
mod shared_limits;
mod streaming;
mod support;
mod timeouts;
mod upgrade;
mod via;
mod witness;

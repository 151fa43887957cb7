//! Behaviour of the service kit, seen from outside.

mod client;
mod drain;
mod start;
mod tls;

//! Behaviour of the service kit, seen from outside.

mod client;
mod drain;
mod gateway;
mod start;
mod tls;

//! Real handshakes, with certificates of the tests' own authorities.

mod client;
mod files;
mod mutual;
mod names;
mod reload;
mod server;
pub(crate) mod support;

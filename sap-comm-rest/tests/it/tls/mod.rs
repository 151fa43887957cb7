//! Real handshakes, with certificates of the tests' own authorities.

mod client;
mod files;
mod mutual;
mod reload;
mod server;
mod support;

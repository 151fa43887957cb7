//! The gateway as clients meet it: `socket.io-client` on Node, and a raw client that speaks the protocol by hand.

mod devices;
mod events;
mod handshake;
mod harness;
mod lifecycle;
mod limits;
mod node_client;
mod raw;

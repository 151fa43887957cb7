//! What is done to bytes on their way out, where the Socket.IO server offers no hook.
//!
//! A refused handshake gets the error envelope as `data`, over WebSocket and over polling. A client that does not read is
//! given up: the server waits for such a write without end.

mod connect_error;
mod frames;
mod guarded;
mod polling;
mod upgrade;

pub(crate) use self::connect_error::ConnectError;
pub(crate) use self::upgrade::{Upgrade, serve};

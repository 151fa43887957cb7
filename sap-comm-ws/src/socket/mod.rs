//! One connection: handshake, session, events, disconnect.

mod arguments;
mod events;
mod handshake;
mod lifecycle;
mod read;
mod refusal;
mod session;

pub use self::events::SocketHandler;
pub(crate) use self::{
    handshake::{HandshakeAuth, admit},
    lifecycle::attend,
    read::READ_NOTIFICATION,
    session::{remember, reserve},
};

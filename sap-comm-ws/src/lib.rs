//! Realtime notifications over Socket.IO.
//!
//! [`RealtimeGateway`] serves unmodified `socket.io-client`s: a token in the handshake, a room `user:{id}` for each user,
//! `notification` pushes that devices acknowledge, and `read-notification` coming back. What the devices say goes to
//! your [`NotificationSink`].
//!
//! | module | what it holds |
//! | --- | --- |
//! | `gateway` | [`RealtimeGateway`], its builder, options and counters; push and drain |
//! | `edge` | what is checked on HTTP before Socket.IO sees a request: origin, capacity |
//! | `socket` | one connection: handshake, session, events, disconnect |
//! | `wire` | what is done to bytes on their way out: data of a refusal, clients that do not read |
//! | `notification`, `sink`, `authenticate` | the types that a service brings or gets |

mod authenticate;
mod edge;
mod gateway;
mod notification;
mod sink;
mod socket;
mod wire;

pub use authenticate::Authenticate;
pub use gateway::{DrainError, GatewayStats, RealtimeGateway, RealtimeGatewayBuilder, RealtimeOptions};
pub use notification::{Delivery, Notification};
pub use sink::NotificationSink;
pub use socket::SocketHandler;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

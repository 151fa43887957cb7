//! Real servers for tests: started privately on free loopback ports, broken on purpose, stopped surely.
//!
//! | module | what it gives a test |
//! | --- | --- |
//! | [`rabbit`] | a private RabbitMQ node, plain and TLS, alone or clustered |
//! | [`postgres`], [`redis`] | a private PostgreSQL, a private Redis |
//! | [`proxy`] | nginx and HAProxy in front of an upstream |
//! | [`relay`] | a TCP relay that cuts, freezes, half-closes, delays |
//! | [`node`] | Node scripts as foreign clients, spoken to in JSON lines |
//! | [`tls`] | a certificate authority of one's own |
//! | [`guard`] | any other program, under the same guard as the servers above |
//! | [`ports`] | free ports that the kernel does not give to others |
//! | [`install`] | which packages all this needs, and where they are found |
//!
//! What is missing on the machine is an error that names it, never a test skipped in silence.
//! Everything here waits for other processes, so it needs the real clock: not for `start_paused` tests.

mod error;
#[cfg(feature = "servers")]
pub mod guard;
pub mod install;
#[cfg(feature = "servers")]
pub mod node;
#[cfg(feature = "servers")]
pub mod ports;
#[cfg(feature = "servers")]
pub mod postgres;
#[cfg(feature = "servers")]
pub mod proxy;
#[cfg(feature = "servers")]
pub mod rabbit;
#[cfg(feature = "servers")]
pub mod redis;
#[cfg(feature = "servers")]
pub mod relay;
#[cfg(feature = "servers")]
pub mod tls;

pub use error::TestkitError;
#[cfg(feature = "servers")]
pub use {
    node::{NodeScript, RunningScript},
    ports::free_port,
    postgres::Postgres,
    proxy::ReverseProxy,
    rabbit::{RabbitCluster, RabbitNode, RabbitNodeBuilder},
    redis::Redis,
    relay::{Direction, Relay},
};

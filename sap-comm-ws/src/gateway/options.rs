use std::time::Duration;

use sap_comm_core::config::{ConfigError, duration};
use serde::{Deserialize, Serialize};

/// Limits and times of a gateway.
///
/// Beyond a bound the gateway refuses: a connection with 503, a payload by closing the connection, an event with
/// `OVERLOADED`, a push to a device that does not read by counting it in
/// [`Delivery::overflowed`](crate::Delivery::overflowed).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RealtimeOptions {
    /// The path; `/socket.io` is what clients ask for by default.
    pub path: String,
    /// Origins of browser pages that may connect, exactly as browsers send them. None by default.
    pub origins: Vec<String>,
    /// Bytes of one message, over polling and WebSocket; 1 MB as in Socket.IO.
    pub max_payload: usize,
    /// Connections at once, with those that are not authenticated yet; 10,000 take about half a gigabyte.
    pub max_connections: usize,
    /// Packets that wait for one slow device; 128 as in the underlying server.
    pub max_buffered: usize,
    /// Bytes of notifications that one device has yet to acknowledge; 4 MB, four of the largest that it might send itself.
    pub max_unacknowledged: usize,
    /// Events of one socket handled at once; 16 are more than an honest client has under way.
    pub max_in_flight: usize,
    /// How often a device is pinged; 25 s as in Socket.IO.
    #[serde(with = "duration")]
    pub ping_interval: Duration,
    /// How long a device may take to answer a ping; 20 s as in Socket.IO.
    #[serde(with = "duration")]
    pub ping_timeout: Duration,
    /// How long a connection may stay without a valid token; 10 s, since it costs memory and has shown nothing.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// How long a device may leave what is sent to it unread; 30 s, after which its connection is given up.
    #[serde(with = "duration")]
    pub write_timeout: Duration,
    /// How long a device may take to acknowledge a notification; 10 s bridges a change of network.
    #[serde(with = "duration")]
    pub ack_timeout: Duration,
    /// How long a handler or the sink may take; 10 s, after which the client gets `DEADLINE_EXCEEDED`.
    #[serde(with = "duration")]
    pub handler_timeout: Duration,
}

impl Default for RealtimeOptions {
    fn default() -> Self {
        Self {
            path: "/socket.io".into(),
            origins: Vec::new(),
            max_payload: 1_000_000,
            max_connections: 10_000,
            max_buffered: 128,
            max_unacknowledged: 4_000_000,
            max_in_flight: 16,
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            ack_timeout: Duration::from_secs(10),
            handler_timeout: Duration::from_secs(10),
        }
    }
}

impl RealtimeOptions {
    /// The longest time that makes sense for any of the times here.
    const MAX_TIME: Duration = Duration::from_secs(3_600);

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.');
        if self.path.len() < 2
            || !self.path.starts_with('/')
            || self.path.ends_with('/')
            || !self.path.bytes().all(plain)
        {
            return Err(ConfigError::new("path", format_args!("must look like /socket.io, got {:?}", self.path)));
        }
        for (name, value) in [
            ("max_payload", self.max_payload),
            ("max_connections", self.max_connections),
            ("max_buffered", self.max_buffered),
            ("max_unacknowledged", self.max_unacknowledged),
            ("max_in_flight", self.max_in_flight),
        ] {
            if value == 0 || value > u32::MAX as usize {
                return Err(ConfigError::new(name, format_args!("must be from 1 to {}, got {value}", u32::MAX)));
            }
        }
        for (name, value) in [
            ("ping_interval", self.ping_interval),
            ("ping_timeout", self.ping_timeout),
            ("connect_timeout", self.connect_timeout),
            ("write_timeout", self.write_timeout),
            ("ack_timeout", self.ack_timeout),
            ("handler_timeout", self.handler_timeout),
        ] {
            if value.is_zero() || value > Self::MAX_TIME {
                return Err(ConfigError::new(name, format_args!("must be from 1ms to 1h, got {value:?}")));
            }
        }
        Ok(())
    }
}

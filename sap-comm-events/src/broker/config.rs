use std::time::Duration;

use sap_comm_core::config::{ConfigError, duration};
use serde::{Deserialize, Serialize};

use super::{TlsConfig, delays};
use crate::{EventFormat, topology::check_name};

/// Options of a [`Broker`](super::Broker); checked when it connects.
///
/// ```
/// use std::time::Duration;
/// use sap_comm_events::BrokerConfig;
///
/// let config = BrokerConfig::new("user-service")
///     .publish_deadline(Duration::from_secs(10))
///     .retry_delays([Duration::from_millis(100), Duration::from_secs(1)])
///     .max_attempts(3);
/// assert!(config.validate().is_ok());
/// assert!(BrokerConfig::new("").validate().unwrap_err().to_string().contains("service"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BrokerConfig {
    pub(crate) service: String,
    pub(crate) nodes: Vec<String>,
    #[serde(with = "duration")]
    pub(crate) connect_timeout: Duration,
    #[serde(with = "duration")]
    pub(crate) publish_deadline: Duration,
    pub(crate) queue_capacity: usize,
    pub(crate) queue_bytes: usize,
    pub(crate) overflow: OverflowPolicy,
    pub(crate) offline: OverflowPolicy,
    pub(crate) window: usize,
    pub(crate) channels: u16,
    pub(crate) prefetch: u16,
    #[serde(with = "delays")]
    pub(crate) retry_delays: Vec<Duration>,
    pub(crate) max_attempts: u32,
    pub(crate) max_redeliveries: u32,
    pub(crate) count_redeliveries: bool,
    pub(crate) max_event_bytes: usize,
    pub(crate) event_format: EventFormat,
    pub(crate) tls: TlsConfig,
}

/// What a publish does when its event cannot be taken now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OverflowPolicy {
    /// It waits, until its deadline.
    Wait,
    /// It is refused at once.
    Refuse,
}

/// The default of `max_event_bytes`.
pub(crate) const MAX_EVENT_BYTES: usize = 4 << 20;
/// Beyond this a wrong address would never show.
const MAX_CONNECT_TIMEOUT: Duration = Duration::from_secs(86_400);

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            service: String::new(),
            nodes: Vec::new(),
            connect_timeout: Duration::from_secs(5),
            publish_deadline: Duration::from_secs(30),
            queue_capacity: 10_000,
            queue_bytes: 256 << 20,
            overflow: OverflowPolicy::Wait,
            offline: OverflowPolicy::Wait,
            window: 1_024,
            channels: 1,
            prefetch: 100,
            retry_delays: [100, 1_000, 5_000].map(Duration::from_millis).to_vec(),
            max_attempts: 4,
            max_redeliveries: 10,
            count_redeliveries: true,
            max_event_bytes: MAX_EVENT_BYTES,
            event_format: EventFormat::Envelope,
            tls: TlsConfig::default(),
        }
    }
}

impl BrokerConfig {
    /// The defaults, for a service: its name is the source of its events and its default consumer group.
    pub fn new(service: impl Into<String>) -> Self {
        Self { service: service.into(), ..Self::default() }
    }

    /// Further nodes of the broker, as `host` or `host:port`, which must know each other: entered with the user, the virtual host and
    /// the encryption of the URL, and tried in turn with it. None: the URL may hold commas, or name one node. In memory there are
    /// no nodes.
    #[must_use]
    pub fn nodes(mut self, nodes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.nodes = nodes.into_iter().map(Into::into).collect();
        self
    }

    /// How long [`Broker::connect`](super::Broker::connect) tries. Whoever subscribes or declares waits as long for a connection, and then
    /// bears as long a silence of the broker, 10 s of it at most. 5 s: a wrong address shows soon, a starting broker is awaited.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a publish may take, reconnections included. 30 s: longer than a broker needs to restart.
    #[must_use]
    pub fn publish_deadline(mut self, deadline: Duration) -> Self {
        self.publish_deadline = deadline;
        self
    }

    /// How many events may wait: to be confirmed by RabbitMQ; in each queue of the in-memory broker, its retries and dead
    /// letters included. 10,000.
    #[must_use]
    pub fn queue_capacity(mut self, capacity: usize) -> Self {
        self.queue_capacity = capacity;
        self
    }

    /// How many bytes the events may have that wait to be confirmed by RabbitMQ, all in all: each counts as one of
    /// [`queue_capacity`](Self::queue_capacity), and as one more for each share of these bytes, which is 26 KiB by default. An event
    /// that is larger than all of it waits alone. 256 MiB.
    #[must_use]
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.queue_bytes = bytes;
        self
    }

    /// What a publish does at the queue's bound. Wait: back-pressure reaches whoever publishes.
    #[must_use]
    pub fn overflow(mut self, policy: OverflowPolicy) -> Self {
        self.overflow = policy;
        self
    }

    /// What a publish does while the broker is away or blocked. Wait: a restart of the broker stays unseen.
    #[must_use]
    pub fn offline(mut self, policy: OverflowPolicy) -> Self {
        self.offline = policy;
        self
    }

    /// How many events each channel sends ahead of their confirms. 1,024: beyond it a multiple confirm costs more than it saves.
    #[must_use]
    pub fn window(mut self, window: usize) -> Self {
        self.window = window;
        self
    }

    /// Over how many channels RabbitMQ gets its events, up to 64. 1: all keep the order that they were published in. With more,
    /// those of one [ordering key](crate::PublishOptions::ordering_key) do, and those without a key take turns.
    #[must_use]
    pub fn channels(mut self, channels: u16) -> Self {
        self.channels = channels;
        self
    }

    /// How many deliveries a subscription holds ahead, unless it says otherwise. 100.
    #[must_use]
    pub fn prefetch(mut self, prefetch: u16) -> Self {
        self.prefetch = prefetch;
        self
    }

    /// The delays before the second, third, … attempt; the last one repeats. 100 ms, 1 s, 5 s.
    #[must_use]
    pub fn retry_delays(mut self, delays: impl IntoIterator<Item = Duration>) -> Self {
        self.retry_delays = delays.into_iter().collect();
        self
    }

    /// How often an event is handled before it is a dead letter. 4: once, and once after each delay.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// How often an event may be given back, or be held by a consumer that dies, before it is a dead letter. 10.
    #[must_use]
    pub fn max_redeliveries(mut self, redeliveries: u32) -> Self {
        self.max_redeliveries = redeliveries;
        self
    }

    /// Whether events that another consumer held when it died are counted, so that one which kills its consumer ends.
    ///
    /// Classic queues do not count, so the event is written back to the end of its queue with the new count. Without
    /// counting, or with [quorum queues](crate::Subscription::quorum), which count by themselves, order survives the crash.
    #[must_use]
    pub fn count_redeliveries(mut self, count: bool) -> Self {
        self.count_redeliveries = count;
        self
    }

    /// The largest event, as JSON. 4 MiB: far below RabbitMQ's own limit of 16 MiB.
    #[must_use]
    pub fn max_event_bytes(mut self, bytes: usize) -> Self {
        self.max_event_bytes = bytes;
        self
    }

    /// How events are written. The specification's envelope: what a service on its TypeScript stack reads.
    #[must_use]
    pub fn event_format(mut self, format: EventFormat) -> Self {
        self.event_format = format;
        self
    }

    /// Certificates for `amqps://`.
    #[must_use]
    pub fn tls(mut self, tls: TlsConfig) -> Self {
        self.tls = tls;
        self
    }

    /// Checks every option.
    ///
    /// # Errors
    /// Names the first option that cannot be.
    pub fn validate(&self) -> Result<(), ConfigError> {
        // By number: a URL would show its password.
        if let Some(at) = self.nodes.iter().position(|node| !is_node(node)) {
            let reason = format_args!("number {} must be host or host:port, without user, scheme or path", at + 1);
            return Err(ConfigError::new("nodes", reason));
        }
        check_name("service", &self.service).map_err(|error| ConfigError::new("service", error))?;
        let positive = |name: &str, valid: bool| match valid {
            true => Ok(()),
            false => Err(ConfigError::new(name, "must be greater than zero")),
        };
        positive("connect_timeout", !self.connect_timeout.is_zero())?;
        if self.connect_timeout > MAX_CONNECT_TIMEOUT {
            return Err(ConfigError::new("connect_timeout", "must be a day at most"));
        }
        positive("publish_deadline", !self.publish_deadline.is_zero())?;
        positive("queue_capacity", self.queue_capacity > 0)?;
        positive("queue_bytes", self.queue_bytes > 0)?;
        positive("prefetch", self.prefetch > 0)?;
        positive("max_attempts", self.max_attempts > 0)?;
        positive("max_event_bytes", self.max_event_bytes > 0)?;
        if u32::try_from(self.queue_capacity).is_err() {
            return Err(ConfigError::new("queue_capacity", "is beyond what memory could hold"));
        }
        if !(1..=65_535).contains(&self.window) {
            return Err(ConfigError::new("window", format_args!("must be between 1 and 65535, not {}", self.window)));
        }
        if !(1..=64).contains(&self.channels) {
            return Err(ConfigError::new("channels", format_args!("must be between 1 and 64, not {}", self.channels)));
        }
        if self.retry_delays.is_empty() && self.max_attempts > 1 {
            return Err(ConfigError::new("retry_delays", "must name a delay, or max_attempts be 1"));
        }
        let limit = Duration::from_millis(u32::MAX.into());
        match self.retry_delays.iter().find(|delay| delay.as_millis() == 0 || **delay > limit) {
            Some(delay) => {
                Err(ConfigError::new("retry_delays", format_args!("{delay:?} is not between 1 ms and 49 days")))
            }
            None => self.tls.validate(),
        }
    }
}

/// Nothing but a host and a port: a URL would bring a password to where none belongs.
fn is_node(node: &str) -> bool {
    url::Url::parse(&format!("amqp://{node}")).is_ok_and(|url| {
        let rest = url.path().is_empty() && url.query().is_none() && url.fragment().is_none();
        rest && url.host_str().is_some() && url.username().is_empty() && !node.contains('@')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(json: &str) -> Result<BrokerConfig, String> {
        let config: BrokerConfig = serde_json::from_str(json).map_err(|error| error.to_string())?;
        config.validate().map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn a_configuration_is_read_with_durations_as_text() {
        let config = load(r#"{"service": "a", "publish_deadline": "2s", "retry_delays": ["10ms", "1s"]}"#).unwrap();
        assert_eq!(config.publish_deadline, Duration::from_secs(2));
        assert_eq!(config.retry_delays, [Duration::from_millis(10), Duration::from_secs(1)]);
        let list = load(r#"{"service": "a", "retry_delays": "10ms, 1s"}"#).unwrap();
        assert_eq!(list.retry_delays, config.retry_delays);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (json, name) in [
            (r#"{}"#, "service"),
            (r#"{"service": "a", "prefech": 3}"#, "prefech"),
            (r#"{"service": "a", "prefetch": 0}"#, "prefetch"),
            (r#"{"service": "a", "window": 0}"#, "window"),
            (r#"{"service": "a", "channels": 0}"#, "channels"),
            (r#"{"service": "a", "channels": 65}"#, "channels"),
            (r#"{"service": "a", "queue_bytes": 0}"#, "queue_bytes"),
            (r#"{"service": "a", "publish_deadline": "soon"}"#, "soon"),
            (r#"{"service": "a", "connect_timeout": "2days"}"#, "connect_timeout"),
            (r#"{"service": "a", "retry_delays": "0s"}"#, "retry_delays"),
            (r#"{"service": "a", "retry_delays": []}"#, "retry_delays"),
        ] {
            let error = load(json).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let config = BrokerConfig::new("a");
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(load(&json).unwrap(), config);
    }
}

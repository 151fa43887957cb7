//! What a service expects of its broker, as data: exported by the service, compared with what is there.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{ExchangeKind, Queue, Role, Topology};
use crate::Stream;

/// Exchanges, queues and bindings, as they are declared. Its JSON is what `sap-events topology diff` reads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TopologySpec {
    /// In the order of their names.
    #[serde(default)]
    pub exchanges: Vec<ExchangeSpec>,
    /// In the order of their names.
    #[serde(default)]
    pub queues: Vec<QueueSpec>,
    /// In the order of exchange, queue and key.
    #[serde(default)]
    pub bindings: Vec<BindingSpec>,
}

/// An exchange.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExchangeSpec {
    /// Its name.
    pub name: String,
    /// `topic`, `direct`, `fanout` or `headers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it outlives the broker's restart.
    #[serde(default = "yes")]
    pub durable: bool,
}

/// A queue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QueueSpec {
    /// Its name.
    pub name: String,
    /// Whether it outlives the broker's restart.
    #[serde(default = "yes")]
    pub durable: bool,
    /// Whether it belongs to one connection and ends with it.
    #[serde(default)]
    pub exclusive: bool,
    /// Whether it ends with its last consumer.
    #[serde(default)]
    pub auto_delete: bool,
    /// Such as `x-queue-type`, `x-message-ttl`, `x-dead-letter-exchange`, `x-max-length`.
    #[serde(default)]
    pub arguments: BTreeMap<String, Argument>,
}

/// What a queue gets of an exchange.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BindingSpec {
    /// The exchange.
    pub exchange: String,
    /// The queue.
    pub queue: String,
    /// The routing key, or a pattern of it.
    pub key: String,
}

/// The value of a queue's argument.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Argument {
    /// True or false.
    Flag(bool),
    /// A whole number.
    Number(i64),
    /// A text.
    Text(String),
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

const fn yes() -> bool {
    true
}

/// Milliseconds that an ephemeral queue waits for its consumer to come back.
const EPHEMERAL_LIFE: i64 = 60_000;
/// How often an event of a quorum queue may go back to it before the broker drops it: from RabbitMQ 4.0 on 20 times, unless the
/// queue says otherwise. Consumers count, and make a dead letter of it; whoever looks through dead letters gives them all back. The
/// most that every version takes, since the earlier ones have no word for "always".
const DELIVERY_LIMIT: i64 = i32::MAX as i64;
/// How a queue sees to it that what it moves on arrives.
const STRATEGY: &str = "x-dead-letter-strategy";
/// How many events wait for a slow reader of a tail; the oldest make room.
pub(crate) const TAIL_LENGTH: u16 = 1_000;

impl TopologySpec {
    pub(crate) fn of(topology: &Topology) -> Self {
        let exchanges = topology.exchanges.iter().map(|(name, kind)| ExchangeSpec::new(name, *kind)).collect();
        let queues = topology.queues.iter().map(|queue| QueueSpec::of(queue, topology)).collect();
        let bindings = topology.bindings.iter().map(|binding| BindingSpec {
            exchange: binding.exchange.clone(),
            queue: binding.queue.clone(),
            key: binding.key.clone(),
        });
        let mut spec = Self { exchanges, queues, bindings: bindings.collect() };
        spec.sort();
        spec
    }

    /// Adds what `other` has besides.
    pub fn extend(&mut self, other: Self) {
        self.exchanges.extend(other.exchanges);
        self.queues.extend(other.queues);
        self.bindings.extend(other.bindings);
        self.sort();
    }

    pub(crate) fn sort(&mut self) {
        self.exchanges.sort_unstable();
        self.exchanges.dedup();
        self.queues.sort_unstable();
        self.queues.dedup();
        self.bindings.sort_unstable();
        self.bindings.dedup();
    }

    /// The queues that have a queue of dead letters.
    pub fn queues_with_dead_letters(&self) -> impl Iterator<Item = &str> {
        self.queues.iter().filter_map(|queue| queue.name.strip_suffix(super::DEAD))
    }
}

impl ExchangeSpec {
    pub(crate) fn new(name: &str, kind: ExchangeKind) -> Self {
        let kind = match kind {
            ExchangeKind::Topic => "topic",
            ExchangeKind::Direct => "direct",
        };
        Self { name: name.to_owned(), kind: kind.to_owned(), durable: true }
    }
}

impl QueueSpec {
    /// What a queue of `topology` is declared with.
    pub(crate) fn of(queue: &Queue, topology: &Topology) -> Self {
        let text = |text: &str| Argument::Text(text.to_owned());
        if let (Role::Work { .. }, Some(reading)) = (&queue.role, &topology.stream) {
            return Self::of_stream(queue, reading.stream);
        }
        let mut arguments = match &queue.role {
            Role::Work { single_active: true } => vec![("x-single-active-consumer", Argument::Flag(true))],
            Role::Work { .. } | Role::Dead { .. } => Vec::new(),
            Role::Ephemeral => vec![("x-expires", Argument::Number(EPHEMERAL_LIFE))],
            Role::Tail => {
                vec![("x-max-length", Argument::Number(TAIL_LENGTH.into())), ("x-overflow", text("drop-head"))]
            }
            Role::Delay { delay, to } => vec![
                // The configuration keeps delays within 32 bits.
                ("x-message-ttl", Argument::Number(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX))),
                ("x-dead-letter-exchange", text("")),
                ("x-dead-letter-routing-key", text(to)),
            ],
        };
        match queue.role {
            // What a replicated queue relies on is replicated too, or the loss of one node would stop its consumers.
            Role::Work { .. } | Role::Dead { .. } if topology.quorum => {
                arguments.push(("x-queue-type", text("quorum")));
                arguments.push(("x-delivery-limit", Argument::Number(DELIVERY_LIMIT)));
            }
            // A classic queue moves an event on without knowing that it arrived: one is lost whose queue has no leader at the moment
            // that its delay is over, or whose broker is killed then.
            Role::Delay { .. } => {
                arguments.push(("x-queue-type", text("quorum")));
                arguments.push((STRATEGY, text("at-least-once")));
                arguments.push(("x-overflow", text("reject-publish")));
            }
            _ => {}
        }
        Self::with(queue, arguments)
    }

    /// The queue as a broker has it that cannot move messages on surely; `None` where it is the same.
    #[cfg(feature = "rabbitmq")]
    pub(crate) fn without_sure_delay(&self) -> Option<Self> {
        self.arguments.contains_key(STRATEGY).then(|| {
            let mut classic = self.clone();
            classic.arguments.retain(|name, _| !matches!(name.as_str(), STRATEGY | "x-queue-type" | "x-overflow"));
            classic
        })
    }

    fn of_stream(queue: &Queue, stream: Stream) -> Self {
        let mut arguments = vec![("x-queue-type", Argument::Text("stream".to_owned()))];
        if let Some(age) = stream.max_age {
            arguments.push(("x-max-age", Argument::Text(format!("{}s", age.as_secs()))));
        }
        if let Some(bytes) = stream.max_bytes {
            arguments.push(("x-max-length-bytes", Argument::Number(i64::try_from(bytes).unwrap_or(i64::MAX))));
        }
        Self::with(queue, arguments)
    }

    fn with(queue: &Queue, arguments: Vec<(&str, Argument)>) -> Self {
        let passing = queue.role == Role::Tail;
        Self {
            name: queue.name.clone(),
            durable: !passing,
            exclusive: passing,
            auto_delete: passing,
            arguments: arguments.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::topology::{Interest, QueueKind};

    #[test]
    fn its_json_is_stable() {
        let interest = Interest { events: vec!["user.created"], commands: Vec::new(), everything: false };
        let topology =
            Topology::of("user.events", "audit", &interest, &[Duration::from_millis(100)], QueueKind::Quorum, false);
        let spec = TopologySpec::of(&topology);
        let json = serde_json::json!({
            "exchanges": [{"name": "user.events", "type": "topic", "durable": true}],
            "queues": [
                {"name": "user.events.audit", "durable": true, "exclusive": false, "autoDelete": false,
                 "arguments": {"x-queue-type": "quorum", "x-delivery-limit": 2_147_483_647}},
                {"name": "user.events.audit.dead", "durable": true, "exclusive": false, "autoDelete": false,
                 "arguments": {"x-queue-type": "quorum", "x-delivery-limit": 2_147_483_647}},
                {"name": "user.events.audit.retry.100", "durable": true, "exclusive": false, "autoDelete": false,
                 "arguments": {"x-message-ttl": 100, "x-dead-letter-exchange": "",
                               "x-dead-letter-routing-key": "user.events.audit", "x-queue-type": "quorum",
                               "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}},
            ],
            "bindings": [{"exchange": "user.events", "queue": "user.events.audit", "key": "user.created"}],
        });
        assert_eq!(serde_json::to_value(&spec).unwrap(), json);
        assert_eq!(serde_json::from_value::<TopologySpec>(json).unwrap(), spec);
        assert_eq!(spec.queues_with_dead_letters().collect::<Vec<_>>(), ["user.events.audit"]);
        let mut twice = spec.clone();
        twice.extend(spec.clone());
        assert_eq!(twice, spec);
    }

    #[test]
    fn what_is_left_out_has_its_default_and_what_is_unknown_is_named() {
        let spec: TopologySpec = serde_json::from_str(r#"{"queues": [{"name": "a"}]}"#).unwrap();
        assert!(spec.queues[0].durable && spec.queues[0].arguments.is_empty());
        let error = serde_json::from_str::<TopologySpec>(r#"{"queue": []}"#).unwrap_err().to_string();
        assert!(error.contains("`queue`"), "{error}");
    }
}

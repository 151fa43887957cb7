//! Names of exchanges and queues, and which of them a subscription needs.
//!
//! | what | name |
//! | --- | --- |
//! | events of `user.events` | topic exchange `user.events`, the type as routing key |
//! | a group's queue | `user.events.{group}` |
//! | commands of `user.events` | direct exchange `user.events.commands`, the type as routing key |
//! | a command's queue, shared by all groups | `user.events.commands.{type}` |
//! | a delayed retry | `{queue}.retry.{milliseconds}`, dead-lettering back into `{queue}` |
//! | dead letters | `{queue}.dead` |
//! | a delayed publish, of whatever exchange | exchanges and queues `sap.delay.{rung}`, and `sap.delay.due` below them |
//! | answers to the requests of one process | `{service}.replies_{id}` |

mod difference;
mod spec;

use std::{sync::Arc, time::Duration};

use sap_comm_core::{EventKind, Name};

use crate::subscription::{Reading, Stream};

pub use self::{
    difference::TopologyDifference,
    spec::{Argument, BindingSpec, ExchangeSpec, QueueSpec, TopologySpec},
};

pub(crate) use self::spec::TAIL_LENGTH;

/// A queue or exchange that exists with other properties than this service declares.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{object} differs from what is declared{}", what(.argument, .expected, .found, .detail))]
#[non_exhaustive]
pub struct TopologyError {
    /// What differs, such as `queue "user.events.audit"`.
    pub object: String,
    /// The argument that differs, such as `x-message-ttl`, if the broker named it; it names one of them.
    pub argument: Option<String>,
    /// The value that is declared, `none` if there is none, if the broker named it.
    pub expected: Option<String>,
    /// The value that exists, `none` if there is none, if the broker named it.
    pub found: Option<String>,
    /// What the broker said.
    pub detail: String,
}

impl TopologyError {
    pub(crate) fn new(object: String, detail: String) -> Self {
        Self { object, argument: None, expected: None, found: None, detail }
    }
}

fn what(argument: &Option<String>, expected: &Option<String>, found: &Option<String>, detail: &str) -> String {
    let argument = argument.as_ref().map(|name| format!(" in {name}")).unwrap_or_default();
    match (expected, found) {
        (Some(expected), Some(found)) => format!("{argument}: expected {expected}, found {found}"),
        _ => format!("{argument}: {detail}"),
    }
}

/// A name that cannot be an exchange or a group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {name:?} is invalid: {reason}")]
pub(crate) struct NameError {
    what: &'static str,
    name: String,
    reason: &'static str,
}

/// Leaves room for what is appended within AMQP's 255 bytes.
const MAX_NAME: usize = 100;
/// AMQP's limit of a routing key.
pub(crate) const MAX_EVENT_TYPE: usize = 255;

/// Checks a name of `what`, `exchange` or `group`.
pub(crate) fn check_name(what: &'static str, name: &str) -> Result<(), NameError> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.len() > MAX_NAME {
        "it is over 100 bytes"
    } else if name.starts_with("amq.") {
        "names that begin with amq. belong to the broker"
    } else if what == "group" && name.split('.').next() == Some("commands") {
        "its queues would pass for those of commands"
    } else if !is_plain(name) && name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        "it holds white space or control characters"
    } else {
        return Ok(());
    };
    Err(NameError { what, name: name.chars().take(MAX_NAME).collect(), reason })
}

/// Whether a name is ASCII that shows, as nearly all are.
fn is_plain(name: &str) -> bool {
    name.bytes().fold(true, |plain, byte| plain & byte.is_ascii_graphic())
}

/// How an exchange compares routing keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ExchangeKind {
    Topic,
    Direct,
}

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    /// To whatever is bound to the exchange with the message's type.
    Exchange { name: Name, kind: ExchangeKind },
    /// Straight into a queue.
    Queue(String),
    /// To the exchange `name` by way of the ladder of delays, which it enters at `rung`, the exchange `enters`.
    #[cfg_attr(not(feature = "rabbitmq"), expect(dead_code, reason = "memory needs no ladder"))]
    Later { rung: u32, enters: String, name: Name, kind: ExchangeKind },
}

impl Target {
    /// The exchange or queue where it leads.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Exchange { name, .. } | Self::Later { name, .. } => name,
            Self::Queue(name) => name,
        }
    }

    /// Whether the other can exist only if this can.
    #[cfg_attr(not(feature = "rabbitmq"), expect(dead_code, reason = "in memory everything can exist"))]
    pub(crate) fn stands_with(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Later { .. }, Self::Later { .. })) || self == other
    }

    /// The exchange that takes events of `kind` published to `exchange`.
    pub(crate) fn of(exchange: &str, kind: EventKind) -> Self {
        match kind {
            EventKind::Command => {
                Self::Exchange { name: command_exchange(exchange).into(), kind: ExchangeKind::Direct }
            }
            EventKind::Domain | EventKind::Integration | EventKind::System => {
                Self::Exchange { name: exchange.into(), kind: ExchangeKind::Topic }
            }
        }
    }
}

/// What the name of an exchange of commands ends with.
pub(crate) const COMMANDS: &str = ".commands";

fn command_exchange(exchange: &str) -> String {
    format!("{exchange}{COMMANDS}")
}

/// The queue of a consumer group.
pub(crate) fn group_queue(exchange: &str, group: &str) -> String {
    format!("{exchange}.{group}")
}

/// The one queue of a command, whatever the group.
pub(crate) fn command_queue(exchange: &str, event_type: &str) -> String {
    format!("{exchange}.commands.{event_type}")
}

/// The type of the commands that `queue` is for, if it is the [`command_queue`] of one that is published to `exchange`.
pub(crate) fn command_of<'a>(queue: &'a str, exchange: &str) -> Option<&'a str> {
    queue.strip_prefix(exchange)?.strip_prefix(COMMANDS)?.strip_prefix('.')
}

/// The queue that holds a failed message for `delay`.
pub(crate) fn retry_queue(queue: &str, delay: Duration) -> String {
    format!("{queue}.retry.{}", delay.as_millis())
}

/// What the name of a queue of dead letters ends with.
pub(crate) const DEAD: &str = ".dead";

/// The queue of what could not be handled.
pub(crate) fn dead_queue(queue: &str) -> String {
    format!("{queue}{DEAD}")
}

/// What must exist before a subscription consumes; declared again after every reconnection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Topology {
    pub(crate) exchanges: Vec<(String, ExchangeKind)>,
    pub(crate) queues: Vec<Queue>,
    pub(crate) bindings: Vec<Binding>,
    /// The queues to consume from.
    pub(crate) consumed: Vec<Arc<str>>,
    /// Whether consumed queues are replicated ones.
    pub(crate) quorum: bool,
    /// Whether consumed queues have one consumer at a time.
    pub(crate) single_active: bool,
    /// How far the consumed queue is read, where it is a stream.
    pub(crate) stream: Option<Arc<Reading>>,
    /// What this process holds of the consumed queues, over pauses and connections.
    #[cfg(feature = "rabbitmq")]
    pub(crate) held: Arc<parking_lot::Mutex<crate::rabbit::Held>>,
}

/// A queue to declare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Queue {
    pub(crate) name: String,
    pub(crate) role: Role,
}

/// What sort of queue a group consumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum QueueKind {
    /// Durable, on one node.
    #[default]
    Classic,
    /// Durable, on several nodes.
    Quorum,
    /// One process's own, gone soon after it.
    Ephemeral,
    /// A log that every consumer reads for itself.
    Stream(Stream),
}

/// What a queue is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    /// Consumed from; where it is `single_active`, by one consumer at a time.
    Work { single_active: bool },
    /// Consumed from by one process, and gone soon after it.
    Ephemeral,
    /// Read by one connection that takes nothing away from others, and gone with it.
    Tail,
    /// Holds messages for `delay`, then hands them to queue `to`.
    Delay { delay: Duration, to: String },
    /// Holds messages that queue `of` could not deal with until somebody looks at them.
    Dead { of: String },
}

#[cfg(feature = "test-util")]
impl Role {
    /// Whether the queue holds what belongs to another.
    pub(crate) fn serves_another(&self) -> bool {
        matches!(self, Self::Delay { .. } | Self::Dead { .. })
    }
}

/// A queue's interest in a routing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) queue: String,
    pub(crate) exchange: String,
    pub(crate) key: String,
}

/// The types that a router handles.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interest {
    pub(crate) events: Vec<&'static str>,
    pub(crate) commands: Vec<&'static str>,
    /// Every event, of whatever type.
    pub(crate) everything: bool,
}

impl Interest {
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.commands.is_empty() && !self.everything
    }
}

impl Topology {
    /// What `group` needs to consume `interest` from `exchange`, with retries after `delays`.
    pub(crate) fn of(
        exchange: &str,
        group: &str,
        interest: &Interest,
        delays: &[Duration],
        kind: QueueKind,
        single_active: bool,
    ) -> Self {
        let stream = match kind {
            QueueKind::Stream(stream) => Some(Arc::new(Reading::new(stream))),
            _ => None,
        };
        let quorum = kind == QueueKind::Quorum || stream.is_some();
        let mut topology = Self { quorum, single_active, stream, ..Self::default() };
        if interest.everything || !interest.events.is_empty() {
            let queue = group_queue(exchange, group);
            topology.exchanges.push((exchange.to_owned(), ExchangeKind::Topic));
            match kind {
                QueueKind::Classic | QueueKind::Quorum => topology.add_queue(&queue, delays),
                QueueKind::Ephemeral => topology.add_ephemeral(&queue),
                // What is tried again stays in hand: back in the stream, everybody would read it once more.
                QueueKind::Stream(_) => topology.add_queue(&queue, &[]),
            }
            let everything = if interest.everything { &["#"][..] } else { &interest.events };
            for key in everything {
                topology.bind(&queue, exchange, key);
            }
        }
        if !interest.commands.is_empty() {
            let direct = command_exchange(exchange);
            for event_type in &interest.commands {
                let queue = command_queue(exchange, event_type);
                topology.add_queue(&queue, delays);
                topology.bind(&queue, &direct, event_type);
            }
            topology.exchanges.push((direct, ExchangeKind::Direct));
        }
        topology
    }

    /// What one process needs to consume the answers to its requests, which come to no exchange.
    pub(crate) fn of_replies(queue: &str) -> Self {
        let mut topology = Self::default();
        topology.add_ephemeral(queue);
        topology
    }

    /// What it takes to see what is published to `exchange` with keys that fit any of `patterns`.
    pub(crate) fn tail(exchange: &str, queue: &str, patterns: &[&str]) -> Self {
        let mut topology = Self::default();
        topology.queues.push(Queue { name: queue.to_owned(), role: Role::Tail });
        topology.consumed.push(queue.into());
        for pattern in patterns {
            topology.bind(queue, exchange, pattern);
        }
        topology
    }

    /// Checks that every name fits, which a long event type or pattern may prevent.
    pub(crate) fn check(&self) -> Result<(), NameError> {
        let queues = self.queues.iter().map(|queue| ("queue", &queue.name));
        let keys = self.bindings.iter().map(|binding| ("routing key", &binding.key));
        match queues.chain(keys).find(|(_, name)| name.len() > MAX_EVENT_TYPE) {
            Some((what, name)) => Err(NameError { what, name: name.clone(), reason: "it is over 255 bytes" }),
            None => Ok(()),
        }
    }

    fn add_queue(&mut self, name: &str, delays: &[Duration]) {
        let queue = |name, role| Queue { name, role };
        self.queues.push(queue(name.to_owned(), Role::Work { single_active: self.single_active }));
        for &delay in delays {
            self.queues.push(queue(retry_queue(name, delay), Role::Delay { delay, to: name.to_owned() }));
        }
        self.queues.push(queue(dead_queue(name), Role::Dead { of: name.to_owned() }));
        self.consumed.push(name.into());
    }

    /// Neither retries nor dead letters would find their reader again.
    fn add_ephemeral(&mut self, name: &str) {
        self.queues.push(Queue { name: name.to_owned(), role: Role::Ephemeral });
        self.consumed.push(name.into());
    }

    fn bind(&mut self, queue: &str, exchange: &str, key: &str) {
        self.bindings.push(Binding { queue: queue.to_owned(), exchange: exchange.to_owned(), key: key.to_owned() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_consumes_its_types_and_the_shared_command_queues() {
        let interest = Interest { events: vec!["user.created"], commands: vec!["user.export"], everything: false };
        let delays = [Duration::from_millis(100)];
        let topology = Topology::of("user.events", "audit", &interest, &delays, QueueKind::Classic, false);
        let names: Vec<_> = topology.queues.iter().map(|queue| queue.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "user.events.audit",
                "user.events.audit.retry.100",
                "user.events.audit.dead",
                "user.events.commands.user.export",
                "user.events.commands.user.export.retry.100",
                "user.events.commands.user.export.dead",
            ]
        );
        let consumed: Vec<_> = topology.consumed.iter().map(|name| &**name).collect();
        assert_eq!(consumed, ["user.events.audit", "user.events.commands.user.export"]);
        let keys: Vec<_> = topology.bindings.iter().map(|b| (b.exchange.as_str(), b.key.as_str())).collect();
        assert_eq!(keys, [("user.events", "user.created"), ("user.events.commands", "user.export")]);
        assert!(command_of("user.events.commands.user.export", "user.events").is_some());
        assert!(command_of("user.events.audit", "user.events").is_none());
    }

    #[test]
    fn the_queue_of_a_command_tells_its_type() {
        let queue = command_queue("user.events", "user.export");
        assert_eq!(command_of(&queue, "user.events"), Some("user.export"));
        for (queue, exchange) in [(&*queue, "user"), (&*queue, "order.events"), ("user.events.commands", "user.events")]
        {
            assert_eq!(command_of(queue, exchange), None, "{queue} of {exchange}");
        }
    }

    #[test]
    fn names_that_amqp_would_refuse_are_named() {
        for name in ["", "amq.topic", "a b", "a\u{0}", &"x".repeat(101)] {
            assert!(check_name("exchange", name).is_err(), "{name:?}");
        }
        assert!(check_name("exchange", "user.events").is_ok());
        for (group, is_taken) in
            [("commands", true), ("commands.audit", true), ("commandsaudit", false), ("audit.commands", false)]
        {
            assert_eq!(check_name("group", group).is_err(), is_taken, "{group}");
        }
    }
}

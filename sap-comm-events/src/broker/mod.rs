//! The connection to a broker.

mod batch;
mod config;
mod connect_error;
mod delays;
mod health;
mod lag;
mod publish;
mod publish_error;
mod status;
mod tls;

use std::{fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

#[cfg(feature = "sql")]
pub(crate) use self::config::MAX_EVENT_BYTES;
pub use self::{
    config::{BrokerConfig, OverflowPolicy},
    connect_error::ConnectError,
    health::{BrokerHealth, BrokerState},
    publish::{Confirmation, PublishOptions},
    publish_error::PublishError,
    status::{BrokerStatus, QueueStatus},
    tls::TlsConfig,
};
use crate::{
    DeadLetterError, DeadLetterQueue, DeadLetters, SubscribeError,
    backend::Backend,
    memory::MemoryBackend,
    request::Replies,
    telemetry::Telemetry,
    topology::{Topology, TopologyDifference, TopologySpec, command_queue, group_queue},
};

/// A connection to a broker, on behalf of one service. Cheap to clone.
///
/// When the last clone and the last [`SubscriptionHandle`](crate::SubscriptionHandle) are dropped, its connections and
/// tasks end at once; [`Broker::close`] lets them finish first.
#[derive(Clone)]
pub struct Broker {
    shared: Arc<Shared>,
    service: Arc<str>,
}

/// What clones for other services have in common.
struct Shared {
    backend: Arc<dyn Backend>,
    config: BrokerConfig,
    /// The subscriptions' tasks.
    tasks: TaskTracker,
    /// Asks every subscription to drain.
    drain: CancellationToken,
    /// Ends every subscription at once.
    abort: CancellationToken,
    replies: Replies,
    telemetry: Telemetry,
    /// What the subscriptions so far have declared.
    declared: Mutex<TopologySpec>,
    /// Remembers what happened.
    #[cfg(feature = "test-util")]
    recorder: Option<Arc<crate::test_util::Recorder>>,
}

#[cfg(feature = "rabbitmq")]
const SCHEMES: &str = "memory, amqp, amqps";
#[cfg(not(feature = "rabbitmq"))]
const SCHEMES: &str = "memory (amqp and amqps need the feature `rabbitmq`)";

/// How long what was cut off may take to end.
const LAST: Duration = Duration::from_secs(1);

impl Broker {
    /// Connects to the broker that `url` names: `memory://` makes a new in-memory broker, `amqp://` and `amqps://`
    /// connect to RabbitMQ. Several URLs with commas between them are the nodes of one broker, which must know each other: they
    /// are tried in turn, in an order of chance.
    ///
    /// # Errors
    /// When an option or the URL is invalid, or RabbitMQ cannot be entered within the connect timeout.
    pub async fn connect(url: &str, config: BrokerConfig) -> Result<Self, ConnectError> {
        match url.split_once(':').map_or(url, |(scheme, _)| scheme) {
            "memory" => Self::memory(config).map_err(Into::into),
            #[cfg(feature = "rabbitmq")]
            "amqp" | "amqps" => {
                config.validate()?;
                let backend = crate::rabbit::RabbitBackend::connect(url, &config).await?;
                Ok(Self::new(Arc::new(backend), config, "rabbitmq"))
            }
            // What stands before the colon may be anything, a password included, unless it looks like a scheme.
            other => {
                let is_scheme = url.contains("://") && other.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+');
                let scheme = if is_scheme { other.to_owned() } else { String::new() };
                Err(ConnectError::Scheme { scheme, expected: SCHEMES })
            }
        }
    }

    /// Makes a new in-memory broker, which ends with its last clone. Services share it through
    /// [`Broker::for_service`].
    ///
    /// # Errors
    /// When an option is invalid.
    pub fn memory(config: BrokerConfig) -> Result<Self, sap_comm_core::config::ConfigError> {
        config.validate()?;
        Ok(Self::new(Arc::new(MemoryBackend::new(&config)), config, "memory"))
    }

    /// `system` names the backend in telemetry.
    fn new(backend: Arc<dyn Backend>, config: BrokerConfig, system: &'static str) -> Self {
        let service = config.service.as_str().into();
        let (tasks, drain, abort) = (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
        let telemetry = Telemetry::new(system, &backend);
        let shared = Shared {
            backend,
            config,
            tasks,
            drain,
            abort,
            replies: Replies::default(),
            telemetry,
            declared: Mutex::default(),
            #[cfg(feature = "test-util")]
            recorder: None,
        };
        Self { shared: Arc::new(shared), service }
    }

    /// A broker that remembers what happens.
    #[cfg(feature = "test-util")]
    pub(crate) fn recorded(
        backend: Arc<dyn Backend>,
        config: BrokerConfig,
        recorder: Arc<crate::test_util::Recorder>,
    ) -> Self {
        let mut broker = Self::new(backend, config, "memory");
        if let Some(shared) = Arc::get_mut(&mut broker.shared) {
            shared.recorder = Some(recorder);
        }
        broker
    }

    #[cfg(feature = "test-util")]
    pub(crate) fn recorder(&self) -> Option<&crate::test_util::Recorder> {
        self.shared.recorder.as_deref()
    }

    /// The same connection on behalf of another service: another source of events and another default group.
    ///
    /// A name that is no consumer group is refused when it is used as one.
    #[must_use]
    pub fn for_service(&self, service: &str) -> Self {
        Self { shared: Arc::clone(&self.shared), service: service.into() }
    }

    /// The service that this broker publishes for.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// How the broker is.
    #[must_use]
    pub fn health(&self) -> BrokerHealth {
        self.shared.backend.health()
    }

    /// What `group` could not handle of `exchange`.
    #[must_use]
    pub fn dead_letters(&self, exchange: &str, group: &str) -> DeadLetters {
        self.dead_letters_of(&group_queue(exchange, group))
    }

    /// The commands of type `event_type` that could not be handled.
    #[must_use]
    pub fn dead_commands(&self, exchange: &str, event_type: &str) -> DeadLetters {
        self.dead_letters_of(&command_queue(exchange, event_type))
    }

    /// What could not be handled of a queue that is known by name, such as `user.events.audit`.
    #[must_use]
    pub fn dead_letters_of(&self, queue: &str) -> DeadLetters {
        DeadLetters::new(self.clone(), queue.to_owned())
    }

    /// What every clone's subscriptions so far have declared, those of [`Subscription::ephemeral`](crate::Subscription)
    /// left out: for `sap-events topology diff`, and for whoever looks after the broker.
    #[must_use]
    pub fn topology(&self) -> TopologySpec {
        self.shared.declared.lock().clone()
    }

    /// Where the broker is not as `spec` says. Makes and changes nothing. RabbitMQ names one argument of each queue and
    /// exchange, and does not tell of bindings; the in-memory broker knows no exchanges and no replication.
    ///
    /// # Errors
    /// When the broker is away, or refuses to tell.
    pub async fn topology_differences(&self, spec: &TopologySpec) -> Result<Vec<TopologyDifference>, SubscribeError> {
        self.backend().examine(spec).await
    }

    /// The dead letters of every queue that a subscription of any clone has consumed so far, in the order of their names.
    ///
    /// # Errors
    /// When the broker is away, or one of the queues was deleted.
    pub async fn dead_letter_queues(&self) -> Result<Vec<DeadLetterQueue>, DeadLetterError> {
        let mut queues = Vec::new();
        for queue in self.topology().queues_with_dead_letters() {
            let letters = self.dead_letters_of(queue);
            queues.push(DeadLetterQueue { queue: queue.to_owned(), count: letters.count().await? });
        }
        Ok(queues)
    }

    /// Closes the connection for every clone: subscriptions stop taking events and finish those in hand, then no
    /// publish is taken any more and those under way are confirmed. What is not done after `limit` is cut off.
    pub async fn close(&self, limit: Duration) {
        let Shared { backend, tasks, drain, abort, .. } = &*self.shared;
        drain.cancel();
        tasks.close();
        let in_time = tokio::time::timeout(limit, async {
            tasks.wait().await;
            backend.refuse();
            backend.flush().await;
        });
        if in_time.await.is_err() {
            tracing::warn!(?limit, "closing the broker cut off what was under way");
        }
        backend.refuse();
        abort.cancel();
        // A handler that blocks its thread cannot be cut off.
        if tokio::time::timeout(LAST, tasks.wait()).await.is_err() {
            tracing::warn!("a handler goes on behind the closed broker: it does not yield");
        }
        backend.disconnect().await;
    }

    pub(crate) fn backend(&self) -> &Arc<dyn Backend> {
        &self.shared.backend
    }

    pub(crate) fn config(&self) -> &BrokerConfig {
        &self.shared.config
    }

    pub(crate) fn replies(&self) -> &Replies {
        &self.shared.replies
    }

    pub(crate) fn telemetry(&self) -> &Telemetry {
        &self.shared.telemetry
    }

    pub(crate) fn note(&self, topology: &Topology) {
        self.shared.declared.lock().extend(TopologySpec::of(topology));
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.shared.tasks
    }

    /// A token that is cancelled when the broker drains, or by its own subscription.
    pub(crate) fn drain_token(&self) -> CancellationToken {
        self.shared.drain.child_token()
    }

    pub(crate) fn abort_token(&self) -> CancellationToken {
        self.shared.abort.clone()
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("service", &self.service).field("backend", &self.shared.backend).finish()
    }
}

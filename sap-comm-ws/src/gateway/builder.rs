use std::{collections::HashMap, fmt, sync::Arc};

use axum::{Router, middleware};
use sap_comm_core::config::ConfigError;
use socketioxide::{
    ParserConfig, SocketIo,
    extract::{SocketRef, TryData},
    handler::ConnectHandler,
};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Counters, Hub, RealtimeGateway, RealtimeOptions};
use crate::{
    Authenticate, NotificationSink, SocketHandler,
    edge::{Edge, Origins, check},
    socket::{self, HandshakeAuth, READ_NOTIFICATION},
    wire::{self, Upgrade},
};

/// Builds a [`RealtimeGateway`].
#[must_use]
pub struct RealtimeGatewayBuilder {
    options: RealtimeOptions,
    same_origin: bool,
    any_origin: bool,
    authenticate: Option<Arc<dyn Authenticate>>,
    sink: Option<Arc<dyn NotificationSink>>,
    handlers: HashMap<String, Arc<dyn SocketHandler>>,
}

/// Names that Socket.IO keeps for itself, or that we use.
const RESERVED: [&str; 8] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
    "notification",
    READ_NOTIFICATION,
];

impl RealtimeGatewayBuilder {
    pub(super) fn new() -> Self {
        Self {
            options: RealtimeOptions::default(),
            same_origin: false,
            any_origin: false,
            authenticate: None,
            sink: None,
            handlers: HashMap::new(),
        }
    }

    /// Who a token belongs to: a [`JwtVerifier`](sap_comm_core::auth::JwtVerifier), or your own. Required.
    pub fn authenticate(mut self, authenticate: impl Authenticate) -> Self {
        self.authenticate = Some(Arc::new(authenticate));
        self
    }

    /// Where acknowledgements and reads are reported. Required.
    pub fn sink(self, sink: impl NotificationSink) -> Self {
        self.shared_sink(Arc::new(sink))
    }

    /// As [`RealtimeGatewayBuilder::sink`], for a sink that is shared.
    pub fn shared_sink(mut self, sink: Arc<dyn NotificationSink>) -> Self {
        self.sink = Some(sink);
        self
    }

    /// Limits and times. Replaces the origins too.
    pub fn options(mut self, options: RealtimeOptions) -> Self {
        self.options = options;
        self
    }

    /// Lets browser pages of one more origin connect, such as `https://admin.example.com`.
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.options.origins.push(origin.into());
        self
    }

    /// Lets browser pages connect that this very host and port served.
    pub fn same_origin(mut self) -> Self {
        self.same_origin = true;
        self
    }

    /// Lets pages of every origin connect. Tokens still decide, and any page may try them.
    pub fn insecure_any_origin(mut self) -> Self {
        self.any_origin = true;
        self
    }

    /// Handles another event of clients; what the handler returns is acknowledged.
    pub fn on(mut self, event: impl Into<String>, handler: impl SocketHandler) -> Self {
        self.handlers.insert(event.into(), Arc::new(handler));
        self
    }

    /// Builds the gateway.
    ///
    /// # Errors
    /// When something required is missing or a value is out of bounds; the field is named.
    pub fn build(self) -> Result<RealtimeGateway, ConfigError> {
        self.options.validate()?;
        let authenticate = self.authenticate.ok_or_else(|| ConfigError::new("authenticate", "is missing"))?;
        let sink = self.sink.ok_or_else(|| ConfigError::new("sink", "is missing"))?;
        if let Some(event) = self.handlers.keys().find(|event| RESERVED.contains(&event.as_str())) {
            return Err(ConfigError::new("on", format_args!("the event {event:?} is reserved")));
        }
        let origins = Origins::new(&self.options.origins, self.same_origin, self.any_origin)?;
        let hub = Arc::new(Hub {
            options: self.options,
            authenticate,
            sink,
            handlers: self.handlers,
            counters: Counters::default(),
            work: TaskTracker::new(),
            draining: CancellationToken::new(),
            ended: CancellationToken::new(),
        });
        let (router, io) = serve(&hub, &origins);
        Ok(RealtimeGateway { hub, io, router })
    }
}

fn serve(hub: &Arc<Hub>, origins: &Origins) -> (Router, SocketIo) {
    let options = &hub.options;
    let (service, io) = SocketIo::builder()
        .req_path(options.path.clone())
        .max_payload(options.max_payload as u64)
        .ws_max_message_size(options.max_payload)
        .ws_max_frame_size(options.max_payload)
        .max_buffer_size(options.max_buffered)
        .ping_interval(options.ping_interval)
        .ping_timeout(options.ping_timeout)
        .connect_timeout(options.connect_timeout)
        .ack_timeout(options.ack_timeout)
        .with_parser(ParserConfig::common().max_incoming_binary_buf_size(options.max_payload).max_incoming_binaries(16))
        .build_svc();
    let admit = {
        let hub = Arc::clone(hub);
        move |socket: SocketRef, TryData(auth): TryData<Option<HandshakeAuth>>| {
            let hub = Arc::clone(&hub);
            async move { socket::admit(&hub, &socket, auth.ok()).await }
        }
    };
    let connected = {
        let hub = Arc::clone(hub);
        move |socket: SocketRef| socket::attend(Arc::clone(&hub), socket)
    };
    io.ns("/", connected.with(admit));
    let edge = Edge {
        hub: Arc::clone(hub),
        origins: origins.clone(),
        capacity: Arc::new(Semaphore::new(options.max_connections)),
    };
    let upgrade = Upgrade::new(service.clone(), options.write_timeout, hub.ended.clone());
    // Read from the last to the first: the last layer sees a request first.
    let router = Router::new()
        .route_service(&options.path, service.clone())
        .route_service(&format!("{}/", options.path), service)
        .layer(middleware::from_fn_with_state(upgrade, wire::serve))
        .layer(middleware::from_fn_with_state(edge, check))
        .layer(origins.cors());
    (router, io)
}

impl fmt::Debug for RealtimeGatewayBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RealtimeGatewayBuilder")
            .field("options", &self.options)
            .field("events", &self.handlers.keys())
            .finish_non_exhaustive()
    }
}

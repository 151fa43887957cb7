//! Names of span and metric attributes, after OpenTelemetry's semantic conventions; and lines that are logged together.

use std::sync::OnceLock;

static TOGETHER: OnceLock<Together> = OnceLock::new();

/// How the log of the process writes the lines of a batch: runs what it is given, and writes what that has logged.
pub type Together = fn(&mut dyn FnMut());

/// Runs `log`, and has its lines written at once where the log of the process can do that: a write for each is a large part of
/// what many lines cost.
pub fn log_together(mut log: impl FnMut()) {
    match TOGETHER.get() {
        Some(together) => together(&mut log),
        None => log(),
    }
}

/// For whoever sets up the log of the process. The first stays.
pub fn set_together(together: Together) {
    let _ = TOGETHER.set(together);
}

/// `service.name`.
pub const SERVICE_NAME: &str = "service.name";
/// The trace id of W3C trace context, 32 hexadecimal digits.
pub const TRACE_ID: &str = "trace_id";
/// The span id of W3C trace context, 16 hexadecimal digits.
pub const SPAN_ID: &str = "span_id";
/// The request id of the error envelope.
pub const REQUEST_ID: &str = "request_id";
/// The correlation id of an event.
pub const CORRELATION_ID: &str = "correlation_id";
/// `http.request.method`.
pub const HTTP_REQUEST_METHOD: &str = "http.request.method";
/// `http.response.status_code`.
pub const HTTP_RESPONSE_STATUS_CODE: &str = "http.response.status_code";
/// `http.route`.
pub const HTTP_ROUTE: &str = "http.route";
/// `url.path`.
pub const URL_PATH: &str = "url.path";
/// `client.address`.
pub const CLIENT_ADDRESS: &str = "client.address";
/// `messaging.system`, `rabbitmq` or `memory`.
pub const MESSAGING_SYSTEM: &str = "messaging.system";
/// `messaging.destination.name`: exchange, routing key and queue, with colons between them.
pub const MESSAGING_DESTINATION_NAME: &str = "messaging.destination.name";
/// `messaging.operation.type`: `send`, `receive`, `process` or `settle`.
pub const MESSAGING_OPERATION_TYPE: &str = "messaging.operation.type";
/// `messaging.operation.name`: `send` or `process`.
pub const MESSAGING_OPERATION_NAME: &str = "messaging.operation.name";
/// `messaging.message.id`.
pub const MESSAGING_MESSAGE_ID: &str = "messaging.message.id";
/// `messaging.message.conversation_id`, the correlation id.
pub const MESSAGING_MESSAGE_CONVERSATION_ID: &str = "messaging.message.conversation_id";
/// `messaging.message.body.size`, bytes.
pub const MESSAGING_MESSAGE_BODY_SIZE: &str = "messaging.message.body.size";
/// `messaging.batch.message_count`.
pub const MESSAGING_BATCH_MESSAGE_COUNT: &str = "messaging.batch.message_count";
/// Metric `messaging.client.operation.duration`, seconds.
pub const MESSAGING_CLIENT_OPERATION_DURATION: &str = "messaging.client.operation.duration";
/// Metric `messaging.client.sent.messages`.
pub const MESSAGING_CLIENT_SENT_MESSAGES: &str = "messaging.client.sent.messages";
/// Metric `messaging.client.consumed.messages`.
pub const MESSAGING_CLIENT_CONSUMED_MESSAGES: &str = "messaging.client.consumed.messages";
/// Metric `messaging.process.duration`, seconds.
pub const MESSAGING_PROCESS_DURATION: &str = "messaging.process.duration";
/// `messaging.consumer.group.name`.
pub const MESSAGING_CONSUMER_GROUP_NAME: &str = "messaging.consumer.group.name";
/// `messaging.rabbitmq.destination.routing_key`.
pub const MESSAGING_RABBITMQ_ROUTING_KEY: &str = "messaging.rabbitmq.destination.routing_key";
/// `messaging.rabbitmq.message.delivery_tag`.
pub const MESSAGING_RABBITMQ_DELIVERY_TAG: &str = "messaging.rabbitmq.message.delivery_tag";
/// `server.address`, the host of the broker's node.
pub const SERVER_ADDRESS: &str = "server.address";
/// `server.port`.
pub const SERVER_PORT: &str = "server.port";
/// `service.peer.name`, the service that is called.
pub const SERVICE_PEER_NAME: &str = "service.peer.name";
/// `error.type`, the code of the error envelope.
pub const ERROR_TYPE: &str = "error.type";
/// `user.id`.
pub const USER_ID: &str = "user.id";

//! The names of the message headers that this crate adds to those of [`sap_comm_core::header`].

/// The kind of the event: `domain`, `integration`, `command` or `system`. Absent means `domain`.
pub const KIND: &str = "kind";
/// What an event is to be kept in order with, if its publisher said so.
pub const ORDERING_KEY: &str = "x-sap-ordering-key";
/// The routing key that an event was published with, where it is not its type; a dead letter goes back to its exchange with it. Taken
/// from the wire where the event came through an exchange; believed where it was written straight into its queue.
pub const ROUTING_KEY: &str = "x-sap-routing-key";
/// Which delivery attempt the message is, from 1; set on every delayed retry.
pub const ATTEMPT: &str = "x-sap-attempt";
/// Until when a request is awaited, RFC 3339; afterwards it is not handled any more.
pub const DEADLINE: &str = "x-sap-deadline";
/// How often a consumer gave the message back or died holding it.
pub const REDELIVERIES: &str = "x-sap-redeliveries";
/// Why the last attempt failed.
pub const REASON: &str = "x-sap-reason";
/// The code of the last failure, as in the error envelope.
pub const CODE: &str = "x-sap-code";
/// When the message became a dead letter, RFC 3339.
pub const FAILED_AT: &str = "x-sap-failed-at";
/// The queue that a dead letter came from.
pub const QUEUE: &str = "x-sap-queue";

/// What the names of counters and of failures begin with, and none of a context.
pub(crate) const PREFIX: &str = "x-sap-";

/// What this crate writes on a failure, and what would make another; a redrive removes all of them.
pub(crate) const OF_FAILURE: [&str; 7] = [ATTEMPT, REDELIVERIES, REASON, CODE, FAILED_AT, QUEUE, DEADLINE];

/// Parts of a context that end with the request: an event outlives its publisher's deadline and attempts.
pub(crate) const NOT_CARRIED: [&str; 2] = [sap_comm_core::header::TIMEOUT_MS, sap_comm_core::header::ATTEMPT];

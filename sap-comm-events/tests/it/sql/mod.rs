//! Outbox and inbox, on SQLite and PostgreSQL.

mod crash;
mod inbox;
mod order;
mod outbox;
#[cfg(feature = "rabbitmq")]
mod over_rabbitmq;
mod stage;

//! Outbox and inbox, on SQLite and PostgreSQL.

mod crash;
mod inbox;
mod order;
mod outbox;
mod stage;

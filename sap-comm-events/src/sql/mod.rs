//! What outbox and inbox need of a database: SQLite or PostgreSQL, through sqlx's `Any` or the drivers themselves.

mod connection;
mod dialect;
mod error;
mod pool;

pub use connection::SqlConnection;
pub use error::SqlError;
pub use pool::SqlPool;

pub(crate) use connection::{Kind, Session, Value};
pub(crate) use dialect::Dialect;

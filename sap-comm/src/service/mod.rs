mod builder;
mod error;
mod events;
mod running;

pub use builder::{Service, ServiceBuilder};
pub use error::ServiceError;
pub use events::{ServiceStarted, ServiceStopping};
pub use running::RunningService;

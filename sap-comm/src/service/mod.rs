mod builder;
mod error;
mod events;
mod running;
mod stop;

pub use builder::{Service, ServiceBuilder};
pub use error::ServiceError;
pub use events::{ServiceStarted, ServiceStopping};
pub use running::RunningService;

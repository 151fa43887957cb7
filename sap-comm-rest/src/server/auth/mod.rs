//! Who a request comes from, and what they may.

mod authenticator;
mod builder;
mod credentials;
mod current_user;
mod jwks;
mod key_source;
mod layer;
mod refresh;
mod require;

pub(crate) use authenticator::SignatureBound;
pub use authenticator::{Authenticator, Identity};
pub use builder::AuthenticatorBuilder;
pub use current_user::CurrentUser;
pub use jwks::JwksSource;
pub use key_source::{KeyRefreshConfig, KeySource, KeySourceError};
pub use layer::{Authenticate, AuthenticateService, authenticate};
pub use require::{Require, RequireService, require_role, require_scope};

//! Bodies of requests and responses.

mod auth;
mod content;
mod notification;
mod refusal;
mod users;

pub use auth::{CreateApiKey, Credentials, Login, NewApiKey, Refresh, Tokens};
pub use content::{Content, CreateContent};
pub use notification::Notification;
pub use refusal::Refusal;
pub use users::{CreateUser, Profile, ProfileInput, Profiles, ProfilesQuery, UpdateUser, User};

/// `Debug` that shows the named fields only: the others are secrets.
macro_rules! hide_in_debug {
    ($name:ident { $($field:ident),* }) => {
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name))$(.field(stringify!($field), &self.$field))*.finish_non_exhaustive()
            }
        }
    };
}
use hide_in_debug;

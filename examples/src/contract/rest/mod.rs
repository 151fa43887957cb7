//! Bodies of requests and responses.

mod auth;
mod content;
mod notification;
mod users;

pub(crate) use auth::is_reserved;
pub use auth::{
    ApiKeyInfo, ApiKeyRecords, CreateApiKey, Credentials, Login, NewApiKey, RESERVED_SCOPES, Refresh, RevokedApiKey,
    Tokens,
};
pub use content::{Content, CreateContent};
pub use notification::Notification;
pub use users::{CreateUser, Profile, ProfileInput, Profiles, ProfilesQuery, UpdateUser, User};

use utoipa::openapi::{Array, ArrayBuilder, ObjectBuilder, Schema, Type, schema::SchemaType};

/// Up to 16 names, such as roles or scopes.
fn names() -> Schema {
    list(16).into()
}

/// Up to 16 scopes that an API key may be given over REST.
fn grantable_scopes() -> Schema {
    let [first, second, third] = RESERVED_SCOPES;
    let description = format!("What it may do, such as `users:read`; `{first}`, `{second}` and `{third}` are refused.");
    ArrayBuilder::from(list(16)).description(Some(description)).into()
}

fn names_or_null() -> Schema {
    ArrayBuilder::from(list(16)).schema_type(SchemaType::from_iter([Type::Array, Type::Null])).into()
}

/// Up to 1,000 ids of users.
fn audience() -> Schema {
    list(1_000).into()
}

/// Texts of 1 to 64 characters.
fn list(most: usize) -> Array {
    let name = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(64))
        .pattern(Some(r"^[^\u0000]*$"));
    ArrayBuilder::new().items(name).max_items(Some(most)).build()
}

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

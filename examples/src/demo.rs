//! Users to try the topology with.

use std::net::SocketAddr;

use sap_comm::{
    Context, Endpoint, ErrorCode, Principal, Secret, StaticResolver,
    rest::client::{Client, ClientError},
};

use crate::{
    contract::rest::{CreateUser, ProfileInput, User},
    deps::StartError,
    user_service,
};

/// The demo administrator's address and password.
pub const ADMIN: (&str, &str) = ("admin@example.com", "admin-password");
/// The demo user's address and password.
pub const USER: (&str, &str) = ("user@example.com", "user-password");

/// Creates the demo users, unless they are there.
///
/// # Errors
/// When the user service refuses or cannot be reached.
pub async fn create_users(users: SocketAddr, operator: &Secret<String>) -> Result<(), StartError> {
    let resolver = StaticResolver::new();
    resolver.set(user_service::NAME, [Endpoint::parse(&format!("http://{users}"))?]);
    let client = Client::builder(user_service::NAME)
        .resolver(std::sync::Arc::new(resolver))
        .api_key(operator.clone())
        .build()?;
    // The operator acts as an administrator, since there is none yet.
    let context = Context::root().with_principal(Principal::user("operator", ["admin"]));
    for ((email, password), role, name) in [(ADMIN, "admin", "Ada"), (USER, "user", "Uma")] {
        let profile = ProfileInput { first_name: Some(name.into()), ..ProfileInput::default() };
        let input = CreateUser {
            email: email.into(),
            password: password.into(),
            profile: Some(profile),
            roles: Some(vec![role.into()]),
        };
        let created = context.clone().scope(client.post("/api/v1/users", []).json(&input).fetch::<User>()).await;
        match created {
            Ok(_) => {}
            Err(ClientError::Api(error)) if *error.code() == ErrorCode::ALREADY_EXISTS.of("email") => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

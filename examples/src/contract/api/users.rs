use std::time::Duration;

use sap_comm::rest::{
    conditional::{Preconditions, Tagged},
    error_codes,
    operation::{Contract, Operation, ResourceId},
    server::{Created, Json, NoContent, PageResponse, Paged, Path, Valid, ValidQuery},
};

use super::ADMIN;
use crate::contract::rest::{CreateUser, Profile, Profiles, ProfilesQuery, UpdateUser, User};

error_codes! {
    /// Why the user service refuses.
    pub enum UserError {
        /// There is no such user.
        NotFound = "USER_NOT_FOUND",
        /// The user has no profile.
        NoProfile = "PROFILE_NOT_FOUND",
        /// Another user has the address.
        EmailTaken = "EMAIL_ALREADY_EXISTS",
        /// Only an admin, or a service with the scope `users:read`, may see others.
        Foreign = "FORBIDDEN",
    }
}

/// The user service.
pub const USER_SERVICE: Contract = Contract::new(
    "user-service",
    &[
        LIST_USERS.definition(),
        GET_USER.definition(),
        CREATE_USER.definition(),
        UPDATE_USER.definition(),
        DELETE_USER.definition(),
        LIST_PROFILES.definition(),
        GET_PROFILE.definition(),
    ],
)
.description("Users and their profiles");

/// Creating and deleting a user asks the auth service.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lists users.
pub const LIST_USERS: Operation<(Paged,), PageResponse<User>> =
    Operation::get("/api/v1/users").id("listUsers").summary("Lists users, oldest first").tag("users").roles(ADMIN);

/// One user.
pub const GET_USER: Operation<(Path<ResourceId>,), Tagged<Json<User>>, UserError> =
    Operation::get("/api/v1/users/{id}")
        .id("getUser")
        .summary("One user: any for an admin or a service with the scope users:read, else oneself")
        .tag("users")
        .errors(&[UserError::NotFound, UserError::Foreign]);

/// Creates a user.
pub const CREATE_USER: Operation<(Valid<CreateUser>,), Tagged<Created<User>>, UserError> =
    Operation::post("/api/v1/users")
        .id("createUser")
        .summary("Creates a user, who can log in at once; the profile follows")
        .tag("users")
        .roles(ADMIN)
        .timeout(PATIENCE)
        .idempotency_key()
        .errors(&[UserError::EmailTaken]);

/// Whom to change, in which version, and how.
pub type UserUpdate = (Path<ResourceId>, Preconditions, Valid<UpdateUser>);

/// Changes a user.
pub const UPDATE_USER: Operation<UserUpdate, Tagged<Json<User>>, UserError> = Operation::put("/api/v1/users/{id}")
    .id("updateUser")
    .summary("Changes a user; what is absent stays")
    .description("The next login has the new address and roles once the auth service has seen `user.updated`.")
    .tag("users")
    .roles(ADMIN)
    .errors(&[UserError::NotFound, UserError::EmailTaken]);

/// Deletes a user.
pub const DELETE_USER: Operation<(Path<ResourceId>, Preconditions), NoContent, UserError> =
    Operation::delete("/api/v1/users/{id}")
        .id("deleteUser")
        .summary("Deletes a user, who can log in no more")
        .tag("users")
        .roles(ADMIN)
        .timeout(PATIENCE)
        .errors(&[UserError::NotFound]);

/// Several users' profiles.
pub const LIST_PROFILES: Operation<(ValidQuery<ProfilesQuery>,), Json<Profiles>, UserError> =
    Operation::get("/api/v1/profiles")
        .id("listProfiles")
        .summary("Several users' profiles: any for an admin or a service with the scope users:read, else one's own")
        .tag("profiles")
        .errors(&[UserError::Foreign]);

/// One user's profile.
pub const GET_PROFILE: Operation<(Path<ResourceId>,), Json<Profile>, UserError> =
    Operation::get("/api/v1/profiles/{user_id}")
        .id("getProfile")
        .summary("One user's profile: any for an admin or a service with the scope users:read, else one's own")
        .tag("profiles")
        .errors(&[UserError::NoProfile, UserError::Foreign]);

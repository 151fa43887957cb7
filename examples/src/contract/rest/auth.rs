use garde::Validate;
use sap_comm::{Timestamp, auth::ApiKeyRecord};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{grantable_scopes, hide_in_debug, names};

/// Name and password.
#[derive(Deserialize, Serialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The user's address.
    #[garde(length(chars, max = 254), pattern(r"^[^\u0000]*$"))]
    #[schema(max_length = 254, pattern = r"^[^\u0000]*$")]
    pub email: String,
    /// The user's password.
    #[garde(length(chars, max = 128))]
    #[schema(max_length = 128)]
    pub password: String,
}

/// A refresh token to trade in.
#[derive(Deserialize, Serialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Refresh {
    /// The refresh token of the last answer; it serves once.
    #[garde(length(chars, max = 128))]
    #[schema(max_length = 128)]
    pub refresh_token: String,
}

/// Tokens.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tokens {
    /// For `Authorization: Bearer`.
    pub access_token: String,
    /// Trades for new tokens, once.
    pub refresh_token: String,
    /// `Bearer`.
    pub token_type: String,
    /// Seconds that the access token lives.
    pub expires_in: u64,
}

/// How a new user will log in: set by the user service, which activates them once the user exists.
#[derive(Deserialize, Serialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// The user's address.
    #[garde(length(chars, max = 254), pattern(r#"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$"#))]
    #[schema(
        format = "email",
        max_length = 254,
        pattern = r#"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$"#
    )]
    pub email: String,
    /// The password.
    #[garde(length(chars, min = 8, max = 128))]
    #[schema(min_length = 8, max_length = 128)]
    pub password: String,
    /// The user's roles.
    #[garde(length(max = 16), inner(length(chars, min = 1, max = 64), pattern(r"^[^\u0000]*$")))]
    #[schema(schema_with = names)]
    pub roles: Vec<String>,
}

/// What only an operator gives, in `SAP_TRUSTED_KEYS`: whoever has it acts for anybody, or makes and reads what others log in with.
pub const RESERVED_SCOPES: [&str; 3] = ["delegate", "credentials:write", "api-keys:read"];

/// Whether an API key that was made over REST may not do this.
pub(crate) fn is_reserved(scope: &str) -> bool {
    RESERVED_SCOPES.contains(&scope)
}

fn grantable(scope: &str, (): &()) -> garde::Result {
    if is_reserved(scope) {
        return Err(garde::Error::new(format!("{scope} is given in SAP_TRUSTED_KEYS only, by an operator")));
    }
    Ok(())
}

/// Whom a new API key is for.
#[derive(Debug, Deserialize, Serialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateApiKey {
    /// The service that will hold it.
    #[garde(length(chars, min = 1, max = 64), pattern(r"^[^\u0000]*$"))]
    #[schema(min_length = 1, max_length = 64, pattern = r"^[^\u0000]*$")]
    pub owner: String,
    /// What it may do, such as `users:read`; none of [`RESERVED_SCOPES`].
    #[garde(length(max = 16), inner(length(chars, min = 1, max = 64), pattern(r"^[^\u0000]*$"), custom(grantable)))]
    #[schema(schema_with = grantable_scopes)]
    pub scopes: Vec<String>,
}

/// A new API key, shown once.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewApiKey {
    /// The public part, by which it is revoked.
    pub prefix: String,
    /// The key.
    pub key: String,
    /// The service that holds it.
    pub owner: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// What a service keeps of the key, without its secret: an element of `SAP_TRUSTED_KEYS`.
    #[schema(value_type = Object)]
    pub record: ApiKeyRecord,
}

/// What is kept of every API key that was made.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
pub struct ApiKeyRecords {
    /// Of those that live, without their secrets.
    #[schema(value_type = Vec<Object>)]
    pub records: Vec<ApiKeyRecord>,
    /// Those that were taken back.
    pub revoked: Vec<RevokedApiKey>,
}

/// An API key that was taken back.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevokedApiKey {
    /// The public part.
    pub prefix: String,
    /// When it was taken back.
    #[schema(value_type = String, format = "date-time")]
    pub revoked_at: Timestamp,
}

/// An API key, without its secret.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeyInfo {
    /// The public part.
    pub prefix: String,
    /// The service that holds it.
    pub owner: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// When it was made.
    #[schema(value_type = String, format = "date-time")]
    pub created_at: Timestamp,
    /// When it was taken back.
    #[schema(value_type = Option<String>, format = "date-time")]
    pub revoked_at: Option<Timestamp>,
}

hide_in_debug!(Login { email });
hide_in_debug!(Refresh {});
hide_in_debug!(Tokens { token_type, expires_in });
hide_in_debug!(Credentials { email, roles });
hide_in_debug!(NewApiKey { prefix, owner, scopes });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let secret = || "hunter22".to_owned();
        let login = Login { email: "a@example.com".into(), password: secret() };
        let refresh = Refresh { refresh_token: secret() };
        let token_type = "Bearer".into();
        let tokens = Tokens { access_token: secret(), refresh_token: secret(), token_type, expires_in: 900 };
        let credentials = Credentials { email: "a@example.com".into(), password: secret(), roles: Vec::new() };
        let shown = format!("{login:?} {refresh:?} {tokens:?} {credentials:?}");
        assert!(!shown.contains("hunter22"), "{shown}");
        assert!(shown.contains("Login { email: \"a@example.com\", .. }"), "{shown}");
    }
}

use serde::{Deserialize, Serialize};

use super::numeric_date::{beginning, end, stated};
use crate::{Principal, PrincipalKind, Timestamp};

/// The claims of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who issued the token.
    pub iss: String,
    /// Whom the token is about: a user id.
    pub sub: String,
    /// Whom the token is for.
    pub aud: Audience,
    /// When it expires, in seconds since the Unix epoch; a fraction was rounded down.
    #[serde(deserialize_with = "end")]
    pub exp: u64,
    /// When it was issued, in seconds since the Unix epoch, if that is said.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "stated")]
    pub iat: Option<u64>,
    /// Before when it is not valid, in seconds since the Unix epoch; a fraction was rounded up.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "beginning")]
    pub nbf: Option<u64>,
    /// Identifies the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// Roles such as `admin`.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Scopes, separated by spaces.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scope: String,
}

/// The `aud` claim: one name or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    /// One audience.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Claims {
    /// The principal that the claims describe.
    #[must_use]
    pub fn principal(&self) -> Principal {
        Principal {
            id: self.sub.clone(),
            kind: PrincipalKind::User,
            roles: self.roles.clone(),
            scopes: self.scope.split_ascii_whitespace().map(str::to_owned).collect(),
            expires_at: Some(Timestamp::from_millis(i64::try_from(self.exp).unwrap_or(i64::MAX).saturating_mul(1_000))),
        }
    }
}

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Who makes a request, once its token or key was verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Principal {
    /// The subject: a user id, or the name of a service.
    pub id: String,
    /// A person, or a service that calls with its own key.
    pub kind: PrincipalKind,
    /// Roles such as `admin`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Scopes such as `users:read`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// When the credential ends; `None` for keys that do not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// What sort of caller a [`Principal`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrincipalKind {
    /// A person, authenticated by a token.
    User,
    /// A service, authenticated by an API key.
    Service,
}

impl Principal {
    /// A person with roles.
    pub fn user(id: impl Into<String>, roles: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            id: id.into(),
            kind: PrincipalKind::User,
            roles: roles.into_iter().map(Into::into).collect(),
            scopes: Vec::new(),
            expires_at: None,
        }
    }

    /// A service with scopes.
    pub fn service(id: impl Into<String>, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            id: id.into(),
            kind: PrincipalKind::Service,
            roles: Vec::new(),
            scopes: scopes.into_iter().map(Into::into).collect(),
            expires_at: None,
        }
    }

    /// Whether the principal has `role`.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|own| own == role)
    }

    /// Whether the principal has `scope`.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|own| own == scope)
    }
}

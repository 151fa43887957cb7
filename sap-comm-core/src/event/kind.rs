use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What an event is for; decides how it is routed, and travels as a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// A fact of the business, such as `user.created`. Every interested group gets it.
    #[default]
    Domain,
    /// A fact meant for other systems. Every interested group gets it.
    Integration,
    /// A request that one consumer act. Exactly one consumer gets it.
    Command,
    /// A fact of operations, such as `service.started`. Every interested group gets it.
    System,
}

impl EventKind {
    /// The name that travels as a header.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Domain => "domain",
            Self::Integration => "integration",
            Self::Command => "command",
            Self::System => "system",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EventKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "domain" => Ok(Self::Domain),
            "integration" => Ok(Self::Integration),
            "command" => Ok(Self::Command),
            "system" => Ok(Self::System),
            other => Err(format!("unknown event kind {other:?}: expected one of domain, integration, command, system")),
        }
    }
}

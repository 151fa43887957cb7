use sap_comm_core::config::ConfigError;
use serde::{Deserialize, Serialize};

/// What a query may cost. Beyond a limit it is refused before anything is executed, and the limit is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GuardLimits {
    /// Bytes of the query; 64 KiB, as a generated query of a large page has less than half.
    pub max_query: usize,
    /// Tokens of the query; 5,000, since parsing costs about a microsecond each.
    pub max_tokens: usize,
    /// Fields, with fragments spread as often as they are used; 15,000.
    pub max_fields: usize,
    /// Levels of fields; 64, which the parser knows too.
    pub max_depth: usize,
    /// Aliases, with fragments spread; 100, since each repeats work.
    pub max_aliases: usize,
    /// Directives, with fragments spread; 100.
    pub max_directives: usize,
    /// Fields of the operation's root, each of which is a call; 30.
    pub max_root_fields: usize,
    /// One for each field, times the `limit`, `first` or `last` of the lists around it; 20,000.
    pub max_complexity: usize,
    /// Levels of lists within an introspection query; 2, since the schema is a cyclic graph.
    pub max_introspection_depth: usize,
    /// Values in the variables, at any level; 10,000.
    pub max_variables: usize,
}

impl Default for GuardLimits {
    fn default() -> Self {
        Self {
            max_query: 64 * 1024,
            max_tokens: 5_000,
            max_fields: 15_000,
            max_depth: 64,
            max_aliases: 100,
            max_directives: 100,
            max_root_fields: 30,
            max_complexity: 20_000,
            max_introspection_depth: 2,
            max_variables: 10_000,
        }
    }
}

impl GuardLimits {
    /// Nesting of brackets and of variables that recursion is safe at, whatever is configured.
    pub(super) const MAX_NESTING: usize = 200;

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        for (name, value, max) in [
            ("guard.max_query", self.max_query, 1024 * 1024),
            ("guard.max_tokens", self.max_tokens, 20_000),
            ("guard.max_fields", self.max_fields, 1_000_000),
            ("guard.max_depth", self.max_depth, 64),
            ("guard.max_aliases", self.max_aliases, 1_000_000),
            ("guard.max_directives", self.max_directives, 1_000_000),
            ("guard.max_root_fields", self.max_root_fields, 1_000_000),
            ("guard.max_complexity", self.max_complexity, usize::MAX),
            ("guard.max_introspection_depth", self.max_introspection_depth, 16),
            ("guard.max_variables", self.max_variables, 1_000_000),
        ] {
            if value == 0 || value > max {
                return Err(ConfigError::new(name, format_args!("must be from 1 to {max}, got {value}")));
            }
        }
        Ok(())
    }
}

/// Why a document cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AsyncApiError {
    /// A server cannot be described.
    #[error("server {name:?}: {reason}")]
    Server {
        /// The server's name in the document.
        name: String,
        /// What is wrong with its URL.
        reason: String,
    },
    /// An exchange cannot be named so.
    #[error("{reason}")]
    Exchange {
        /// What is wrong with the name.
        reason: String,
    },
    /// A schema cannot be named so.
    #[error("schema {name:?} may hold letters, digits, '.', '-' and '_' only: give it another by #[schema(as = …)]")]
    SchemaName {
        /// The name.
        name: String,
    },
    /// Two types share a name and differ.
    #[error("there are two different {what} {name:?}")]
    Conflict {
        /// What they are: schemas or messages.
        what: &'static str,
        /// The name they share.
        name: String,
    },
}

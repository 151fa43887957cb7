use std::{io, sync::Arc, time::Duration};

/// Why a channel or a connection cannot go on.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Error {
    /// The broker closed the channel.
    #[error("{text}")]
    Channel { code: u16, text: String },
    /// The broker closed the connection.
    #[error("{text}")]
    Connection { code: u16, text: String },
    /// The socket failed.
    #[error("{0}")]
    Io(Arc<io::Error>),
    /// The broker sent what it must not.
    #[error("the broker breaks the protocol: {0}")]
    Protocol(&'static str),
    /// The broker said nothing for so long.
    #[error("no sign of life for {0:?}")]
    Silent(Duration),
    /// We closed it.
    #[error("it is closed")]
    Closed,
    /// A name does not fit into the protocol.
    #[error("{0:?} is over 255 bytes")]
    TooLong(String),
    /// The properties of a message do not fit into a frame.
    #[error("its headers and properties are {size} bytes; the limit is {most}")]
    TooLarge { size: usize, most: usize },
    /// Every channel that the broker allows is open.
    #[error("the broker allows no more than {0} channels")]
    NoChannel(u16),
    /// The broker offers no way to log in that was asked for.
    #[error("the broker offers {offered}, and not {wanted}")]
    Mechanism { wanted: &'static str, offered: String },
}

impl Error {
    /// Code and text of a refusal by the broker.
    pub(crate) fn refusal(&self) -> Option<(u16, &str)> {
        match self {
            Self::Channel { code, text } | Self::Connection { code, text } => Some((*code, text)),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

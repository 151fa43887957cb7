use std::{error::Error, time::Duration};

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    #[error("cannot {doing}: {source}")]
    Refused { doing: &'static str, source: Box<dyn Error + Send + Sync> },
    #[error("{arrived} of {expected} messages arrived; then none for {waited:?}")]
    Lost { expected: usize, arrived: usize, waited: Duration },
    #[error("{0} messages arrived twice or were never published")]
    Unexpected(usize),
}

impl BenchError {
    pub(crate) fn refused<E: Into<Box<dyn Error + Send + Sync>>>(doing: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Refused { doing, source: source.into() }
    }
}

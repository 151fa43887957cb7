/// Why a [`ReplayBody`](crate::ReplayBody) ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplayBodyError<E> {
    /// The body itself failed. It is not sent again.
    #[error(transparent)]
    Body(E),
    /// The attempt that sent this copy was given up, and another one is on its way.
    #[error("the attempt that sent this body was given up")]
    GivenUp,
    /// More was sent than is kept, so the beginning is gone.
    #[error("the beginning of the body was not kept")]
    Lost,
}

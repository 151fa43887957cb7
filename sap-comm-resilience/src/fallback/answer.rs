use std::future::{Future, Pending};

use super::{Fallback, ForResults};

/// What answers in place of a failed result: a [`Fallback`], or nothing.
pub trait Answer<T, E> {
    /// The other answer.
    type Future: Future<Output = Result<T, E>>;

    /// Another answer than `result`.
    ///
    /// # Errors
    /// The result itself, when it has to stand.
    fn otherwise(&self, result: Result<T, E>) -> Result<Self::Future, Result<T, E>>;
}

/// Every result stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NoFallback;

impl<T, E> Answer<T, E> for NoFallback {
    type Future = Pending<Result<T, E>>;

    #[inline]
    fn otherwise(&self, result: Result<T, E>) -> Result<Self::Future, Result<T, E>> {
        Err(result)
    }
}

impl<F, Fut, T, E> Answer<T, E> for Fallback<F>
where
    F: Fn(E) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    type Future = Fut;

    fn otherwise(&self, result: Result<T, E>) -> Result<Fut, Result<T, E>> {
        match result {
            Ok(value) => Err(Ok(value)),
            Err(error) => Ok((self.otherwise)(error)),
        }
    }
}

impl<F, Fut, T, E> Answer<T, E> for Fallback<ForResults<F>>
where
    F: Fn(Result<T, E>) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    type Future = Fut;

    fn otherwise(&self, result: Result<T, E>) -> Result<Fut, Result<T, E>> {
        Ok((self.otherwise.0)(result))
    }
}

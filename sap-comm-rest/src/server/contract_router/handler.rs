use std::future::Future;

use axum::{
    RequestExt,
    extract::{FromRequestParts, Request},
    response::{IntoResponse, Response},
};
use sap_comm_core::ApiError;

use crate::operation::{InputPart, Output};

/// A function that carries an operation out: first axum's extractors, then the operation's input in its order, and
/// `Result<O, impl Into<ApiError>>` as its answer. Implemented for all such async functions; `M` is of no interest.
#[diagnostic::on_unimplemented(
    message = "this function does not carry out the operation",
    label = "takes or answers something else than the operation's definition says",
    note = "a handler takes axum extractors first and then exactly the parts `{I}`, and answers `Result<{O}, ApiError>`"
)]
pub trait Handler<I, O, S, M>: Clone + Send + Sync + 'static {
    /// Carries a request out.
    fn handle(self, request: Request, state: S) -> impl Future<Output = Response> + Send;
}

/// Answers a refusal at once.
macro_rules! or_refuse {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(refusal) => return refusal.into_response(),
        }
    };
}

macro_rules! handlers {
    ($([$($extractor:ident),*] $parts:tt)*) => {$(handlers!(one [$($extractor),*] $parts);)*};
    (one [$($extractor:ident),*] [$($part:ident),*]) => {
        impl<F, Fut, S, O, X, $($extractor,)* $($part,)*> Handler<($($part,)*), O, S, ($($extractor,)*)> for F
        where
            F: Fn($($extractor,)* $($part,)*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output = Result<O, X>> + Send,
            O: Output,
            X: Into<ApiError>,
            S: Clone + Send + Sync + 'static,
            $($extractor: FromRequestParts<S> + Send + 'static,)*
            $($part: InputPart,)*
        {
            #[allow(non_snake_case, reason = "the names are those of the types; without any, there is nothing to expect")]
            async fn handle(self, mut _request: Request, _state: S) -> Response {
                $(let $extractor: $extractor = or_refuse!(_request.extract_parts_with_state(&_state).await);)*
                $(let $part = or_refuse!($part::take(&mut _request).await);)*
                match self($($extractor,)* $($part,)*).await {
                    Ok(output) => output.into_response(),
                    Err(error) => error.into().into_response(),
                }
            }
        }
    };
}

macro_rules! with_parts {
    ($($parts:tt)*) => {$(
        handlers! {
            [] $parts
            [E1] $parts
            [E1, E2] $parts
            [E1, E2, E3] $parts
            [E1, E2, E3, E4] $parts
            [E1, E2, E3, E4, E5] $parts
        }
    )*};
}

with_parts! { [] [A1] [A1, A2] [A1, A2, A3] [A1, A2, A3, A4] }

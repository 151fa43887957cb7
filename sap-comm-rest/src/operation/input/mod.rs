//! What operations take: extracted by servers, filled in by clients, described in documents.

mod body;
mod path;
mod query;

use std::{future::Future, mem};

use axum::extract::Request;
use http::Method;
use sap_comm_core::ApiError;

pub use body::Untyped;
pub use path::{PathParameter, PathParameters};

use super::Description;
use crate::client::{ClientError, RequestBuilder};

/// One part of an operation's input, such as `Path<ResourceId>` or `Valid<CreateUser>`.
pub trait InputPart: Sized + Send {
    /// Takes it out of a request. A part that takes the body comes last.
    fn take(request: &mut Request) -> impl Future<Output = Result<Self, ApiError>> + Send;

    /// Says what it is.
    fn describe(description: &mut Description);
}

/// The whole input of an operation: a tuple of its parts.
pub trait Input: 'static {
    /// Says what it is made of.
    fn describe(description: &mut Description);
}

/// What a client gives for one part of the input; `Path` takes a `&str`, `Valid<T>` and `Json<T>` a `&T`.
pub trait Argument<Part> {
    /// Writes it into a request.
    fn fill(self, request: &mut RequestParts);
}

/// What a client gives for an operation's input: a tuple of [`Argument`]s.
pub trait Arguments<Input> {
    /// Writes them into a request.
    fn fill(self, request: &mut RequestParts);
}

/// A request that a client's arguments are written into.
#[derive(Debug)]
pub struct RequestParts {
    path: Vec<String>,
    request: RequestBuilder,
}

impl RequestParts {
    pub(crate) fn new(request: RequestBuilder) -> Self {
        Self { path: Vec::new(), request }
    }

    /// Gives the next parameter of the path.
    pub fn path_parameter(&mut self, value: String) {
        self.path.push(value);
    }

    /// Changes the rest of the request.
    pub fn change(&mut self, change: impl FnOnce(RequestBuilder) -> RequestBuilder) {
        let meanwhile = self.request.client.request(Method::GET, "/", []);
        self.request = change(mem::replace(&mut self.request, meanwhile));
    }

    /// Reports an argument that cannot be sent.
    pub fn refuse(&mut self, reason: impl Into<String>) {
        self.change(|request| request.failed(ClientError::request(reason)));
    }

    pub(crate) fn finish(self, template: &str) -> RequestBuilder {
        let parameters: Vec<_> = self.path.iter().map(String::as_str).collect();
        self.request.with_path(template, &parameters)
    }
}

macro_rules! tuples {
    ($(($($part:ident $given:ident),*))*) => {$(
        impl<$($part: InputPart + 'static),*> Input for ($($part,)*) {
            fn describe(_description: &mut Description) {
                $($part::describe(_description);)*
            }
        }

        impl<$($part, $given: Argument<$part>),*> Arguments<($($part,)*)> for ($($given,)*) {
            #[allow(non_snake_case, reason = "the names are those of the types; without any, there is nothing to expect")]
            fn fill(self, _request: &mut RequestParts) {
                let ($($given,)*) = self;
                $($given.fill(_request);)*
            }
        }
    )*};
}

tuples! { () (A1 G1) (A1 G1, A2 G2) (A1 G1, A2 G2, A3 G3) (A1 G1, A2 G2, A3 G3, A4 G4) }

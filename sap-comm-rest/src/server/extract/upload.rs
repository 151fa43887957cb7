use std::convert::Infallible;

use axum::{
    body::Body,
    extract::{FromRequest, Request},
};

/// A body of any type, taken as it arrives; the limits of the kit count for it.
#[derive(Debug)]
pub struct Upload(pub Body);

impl<S: Send + Sync> FromRequest<S> for Upload {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        Ok(Self(request.into_body()))
    }
}

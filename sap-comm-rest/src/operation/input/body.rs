use std::mem;

use axum::extract::{FromRequest, Request};
use garde::Validate;
use sap_comm_core::{ApiError, ErrorCode};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use utoipa::ToSchema;

use super::{Argument, InputPart, RequestParts};
use crate::{
    operation::Description,
    server::{Json, Upload, Valid},
};

/// A body that a client writes in its own way, such as with nulls for what is to be forgotten.
#[derive(Debug, Clone, Copy)]
pub struct Untyped<'a, B: ?Sized>(pub &'a B);

impl<T, B: Serialize + ?Sized> Argument<Json<T>> for Untyped<'_, B> {
    fn fill(self, request: &mut RequestParts) {
        request.change(|request| request.json(self.0));
    }
}

impl<T, B: Serialize + ?Sized> Argument<Valid<T>> for Untyped<'_, B> {
    fn fill(self, request: &mut RequestParts) {
        request.change(|request| request.json(self.0));
    }
}

impl<T: DeserializeOwned + ToSchema + Send> InputPart for Json<T> {
    async fn take(request: &mut Request) -> Result<Self, ApiError> {
        Self::from_request(mem::take(request), &()).await
    }

    fn describe(description: &mut Description) {
        let schema = description.schema::<T>();
        description.body("application/json", schema);
        description.fails(&ErrorCode::MALFORMED_BODY, "The body is not the JSON that is expected.");
    }
}

impl<T: Serialize> Argument<Json<T>> for &T {
    fn fill(self, request: &mut RequestParts) {
        request.change(|request| request.json(self));
    }
}

impl InputPart for Upload {
    async fn take(request: &mut Request) -> Result<Self, ApiError> {
        Ok(Self(mem::take(request).into_body()))
    }

    fn describe(description: &mut Description) {
        description.body("*/*", json!({}));
    }
}

/// A stream, which is sent once: such a call is not tried again.
impl Argument<Self> for Upload {
    fn fill(self, request: &mut RequestParts) {
        request.change(|request| request.stream("application/octet-stream", self.0));
    }
}

impl<T> InputPart for Valid<T>
where
    T: DeserializeOwned + Validate<Context: Default> + ToSchema + Send,
{
    async fn take(request: &mut Request) -> Result<Self, ApiError> {
        Self::from_request(mem::take(request), &()).await
    }

    fn describe(description: &mut Description) {
        Json::<T>::describe(description);
        description.fails(&ErrorCode::VALIDATION_FAILED, "A field breaks a rule; `details.fields` names it.");
    }
}

impl<T: Serialize> Argument<Valid<T>> for &T {
    fn fill(self, request: &mut RequestParts) {
        request.change(|request| request.json(self));
    }
}

use axum::{RequestExt, extract::Request};
use garde::Validate;
use sap_comm_core::{ApiError, ErrorCode, PageQuery};
use serde::{Serialize, de::DeserializeOwned};
use utoipa::IntoParams;

use super::{Argument, InputPart, RequestParts};
use crate::{
    operation::Description,
    server::{Paged, Query, ValidQuery},
};

const REFUSED: &str = "A query parameter is not valid.";

impl<Q: DeserializeOwned + IntoParams + Send + 'static> InputPart for Query<Q> {
    async fn take(request: &mut Request) -> Result<Self, ApiError> {
        request.extract_parts().await
    }

    fn describe(description: &mut Description) {
        description.query_parameters::<Q>();
        description.fails(&ErrorCode::INVALID_ARGUMENT, REFUSED);
    }
}

impl<Q: Serialize> Argument<Query<Q>> for &Q {
    fn fill(self, request: &mut RequestParts) {
        request.change(|request| request.query(self));
    }
}

impl<Q> InputPart for ValidQuery<Q>
where
    Q: DeserializeOwned + Validate<Context: Default> + IntoParams + Send + 'static,
{
    async fn take(request: &mut Request) -> Result<Self, ApiError> {
        request.extract_parts().await
    }

    fn describe(description: &mut Description) {
        Query::<Q>::describe(description);
    }
}

impl<Q: Serialize> Argument<ValidQuery<Q>> for &Q {
    fn fill(self, request: &mut RequestParts) {
        request.change(|request| request.query(self));
    }
}

impl InputPart for Paged {
    async fn take(request: &mut Request) -> Result<Self, ApiError> {
        request.extract_parts().await
    }

    fn describe(description: &mut Description) {
        Query::<PageQuery>::describe(description);
    }
}

impl Argument<Paged> for PageQuery {
    fn fill(self, request: &mut RequestParts) {
        request.change(|request| request.query(&self));
    }
}

use axum::{Router, routing::get};
use sap_comm_core::{ErrorBody, ErrorEnvelope};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{Components, OpenApi},
};

use super::Json;

/// Serves an OpenAPI document at `/openapi.json`, and Swagger UI at `/docs` with the feature `swagger-ui`.
///
/// The UI's assets are part of the binary: it works without a network.
pub fn docs(openapi: OpenApi) -> Router {
    let openapi = with_error_envelope(openapi);
    #[cfg(feature = "swagger-ui")]
    let ui = swagger_ui();
    #[cfg(not(feature = "swagger-ui"))]
    let ui = Router::new();
    ui.route("/openapi.json", get(move || async move { Json(openapi) }))
}

/// Adds the schemas of the error envelope, for responses that refer to `ErrorEnvelope`.
#[must_use]
pub fn with_error_envelope(mut openapi: OpenApi) -> OpenApi {
    let schemas = &mut openapi.components.get_or_insert_with(Components::new).schemas;
    schemas.entry(ErrorEnvelope::name().into_owned()).or_insert_with(ErrorEnvelope::schema);
    schemas.entry(ErrorBody::name().into_owned()).or_insert_with(ErrorBody::schema);
    openapi
}

/// The page needs its own scripts and inline styles, which an API's policy forbids.
#[cfg(feature = "swagger-ui")]
fn swagger_ui() -> Router {
    use http::{HeaderValue, header};
    use tower_http::set_header::SetResponseHeaderLayer;

    const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:";
    let config = utoipa_swagger_ui::Config::from("/openapi.json");
    let ui: Router = utoipa_swagger_ui::SwaggerUi::new("/docs").config(config).into();
    ui.layer(SetResponseHeaderLayer::overriding(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)))
}

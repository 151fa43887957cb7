use axum::{Router, routing::get};
use http::header;
use sap_comm_core::ApiError;
use serde::Serialize;

/// Serves an OpenAPI document, such as that of a [`Contract`](crate::operation::Contract), at `/openapi.json`, and Swagger UI at `/docs` with the feature `swagger-ui`.
///
/// The UI's assets are part of the binary: it works without a network.
pub fn docs(openapi: impl Serialize) -> Router {
    let document = serde_json::to_vec(&openapi).map_err(ApiError::internal);
    #[cfg(feature = "swagger-ui")]
    let ui = swagger_ui();
    #[cfg(not(feature = "swagger-ui"))]
    let ui = Router::new();
    ui.route(
        "/openapi.json",
        get(move || async move { document.map(|json| ([(header::CONTENT_TYPE, "application/json")], json)) }),
    )
}

/// The page needs its own scripts and inline styles, which an API's policy forbids.
#[cfg(feature = "swagger-ui")]
fn swagger_ui() -> Router {
    use http::HeaderValue;
    use tower_http::set_header::SetResponseHeaderLayer;

    const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:";
    let config = utoipa_swagger_ui::Config::from("/openapi.json");
    let ui: Router = utoipa_swagger_ui::SwaggerUi::new("/docs").config(config).into();
    ui.layer(SetResponseHeaderLayer::overriding(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)))
}

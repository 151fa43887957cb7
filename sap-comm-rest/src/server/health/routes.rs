use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::get,
};
use sap_comm_core::{ApiError, ErrorCode};
use serde_json::json;

use super::HealthRegistry;
use crate::server::Json;

impl HealthRegistry {
    /// `/health/live`, 200 while the process serves; `/health/ready`, 503 unless every check is up.
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let registry = self.clone();
        let ready = move || {
            let registry = registry.clone();
            async move { registry.ready().await }
        };
        Router::new()
            .route("/health/live", get(async || Json(json!({"status": "up"}))))
            .route("/health/ready", get(ready))
    }

    async fn ready(&self) -> Response {
        let report = self.report().await;
        if report.is_ready() {
            return Json(report).into_response();
        }
        let error = ApiError::new(ErrorCode::SERVICE_UNAVAILABLE, "The service is not ready");
        error.detail("status", json!(report.status)).detail("checks", json!(report.checks)).into_response()
    }
}

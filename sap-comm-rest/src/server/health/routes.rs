use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::get,
};
use sap_comm_core::{ApiError, ErrorCode};
use serde_json::json;

use super::HealthRegistry;
use crate::server::Json;

const LIVE: &str = "/health/live";
const READY: &str = "/health/ready";

/// Whether a registry's router answers there.
pub(crate) fn is_probe(path: &str) -> bool {
    path == LIVE || path == READY
}

impl HealthRegistry {
    /// `/health/live`, 200 while the process serves; `/health/ready`, 503 unless every check is up.
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let registry = self.clone();
        let ready = move || {
            let registry = registry.clone();
            async move { registry.ready().await }
        };
        Router::new().route(LIVE, get(async || Json(json!({"status": "up"})))).route(READY, get(ready))
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

use axum::Router;

/// Nests a router under `/api/{version}`, such as `/api/v1`.
///
/// Characters of `version` other than letters, digits, `.`, `-` and `_` are left out: it is one segment of a path.
pub fn versioned<S: Clone + Send + Sync + 'static>(version: &str, router: Router<S>) -> Router<S> {
    let segment: String =
        version.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')).collect();
    Router::new().nest(&format!("/api/{segment}"), router)
}

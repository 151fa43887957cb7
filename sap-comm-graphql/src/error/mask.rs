use async_graphql::ServerError;
use sap_comm_core::{ApiError, Context, ErrorCode};
use serde_json::Value;

use super::GraphqlError;

/// What a caller sees of an error of the executor.
///
/// An [`ApiError`] is shown as it is, and so is an error that a resolver gave a `code` in its extensions. What the
/// executor says about the query itself is `BAD_REQUEST`. Everything else is an internal: it goes to the log.
pub(crate) fn map(error: ServerError, suggestions: bool, context: &Context) -> GraphqlError {
    let mapped = match error.source::<ApiError>() {
        Some(api) => {
            if api.status().is_server_error() {
                tracing::error!(error = ?api, path = ?error.path, "a field failed");
            }
            GraphqlError::of(api, context)
        }
        None => own(&error, suggestions, context),
    };
    mapped.at(error.locations, error.path)
}

fn own(error: &ServerError, suggestions: bool, context: &Context) -> GraphqlError {
    if let Some((code, extensions)) = coded(error) {
        let mut mapped = GraphqlError::of(&ApiError::new(code, &error.message), context);
        for (name, value) in extensions {
            mapped.extensions.entry(name).or_insert(value);
        }
        return mapped;
    }
    if error.path.is_empty() || is_about_input(&error.message) {
        let message = if suggestions { error.message.as_str() } else { without_suggestion(&error.message) };
        return GraphqlError::of(&ApiError::new(ErrorCode::BAD_REQUEST, message), context);
    }
    tracing::error!(message = %error.message, path = ?error.path, "a field failed with an error that is not an ApiError");
    GraphqlError::of(&ApiError::internal(error.message.clone()), context)
}

/// The code and extensions that a resolver set on purpose.
fn coded(error: &ServerError) -> Option<(ErrorCode, serde_json::Map<String, Value>)> {
    let extensions = serde_json::to_value(error.extensions.as_ref()?).ok()?;
    let Value::Object(extensions) = extensions else { return None };
    let code = ErrorCode::from_wire(extensions.get("code")?.as_str()?);
    Some((code, extensions))
}

/// Whether the executor complains about an argument, which it does at a field's path.
fn is_about_input(message: &str) -> bool {
    message.starts_with("Failed to parse \"") || message.starts_with("Expected input type \"")
}

fn without_suggestion(message: &str) -> &str {
    message.find(" Did you mean").map_or(message, |end| message.split_at(end).0)
}

#[cfg(test)]
mod tests {
    use async_graphql::{Error, ErrorExtensions, PathSegment, Pos};
    use serde_json::json;

    use super::*;

    fn seen(error: Error) -> Value {
        let error =
            ServerError { path: vec![PathSegment::Field("user".into())], ..error.into_server_error(Pos::default()) };
        serde_json::to_value(map(error, false, &Context::root())).unwrap()
    }

    #[test]
    fn an_api_error_keeps_code_status_and_details() {
        let seen = seen(ApiError::not_found("user", "123").into());
        assert_eq!(seen["message"], "User with ID 123 not found");
        assert_eq!(seen["extensions"]["code"], "USER_NOT_FOUND");
        assert_eq!(seen["extensions"]["http"]["status"], 404);
        assert_eq!(seen["extensions"]["details"], json!({"userId": "123"}));
        assert_eq!(seen["path"], json!(["user"]));
    }

    #[test]
    fn what_is_not_meant_for_callers_is_masked() {
        for error in [Error::new("password is hunter2"), std::io::Error::other("hunter2").into()] {
            let seen = seen(error);
            assert_eq!(seen["extensions"]["code"], "INTERNAL_ERROR");
            assert!(!seen.to_string().contains("hunter2"), "{seen}");
        }
        let seen = seen(ApiError::internal("hunter2").into());
        assert!(!seen.to_string().contains("hunter2"), "{seen}");
    }

    #[test]
    fn a_code_set_on_purpose_is_kept() {
        let seen = seen(Error::new("no more").extend_with(|_, extensions| {
            extensions.set("code", "QUOTA_RATE_LIMITED");
            extensions.set("left", 0);
        }));
        assert_eq!((&seen["message"], &seen["extensions"]["http"]["status"]), (&json!("no more"), &json!(429)));
        assert_eq!(seen["extensions"]["left"], 0);
    }

    #[test]
    fn suggestions_are_left_out_where_they_are_off() {
        let error = ServerError::new("Unknown field \"nam\" on type \"User\". Did you mean \"name\"?", None);
        let seen = map(error, false, &Context::root());
        assert_eq!(seen.message, "Unknown field \"nam\" on type \"User\".");
    }
}

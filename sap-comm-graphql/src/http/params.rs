use std::collections::HashMap;

use async_graphql::{Extensions, Name, Value as GraphqlValue, Variables};
use axum::{
    body::Bytes,
    extract::{Query, Request},
};
use http::{HeaderMap, Uri, header::CONTENT_TYPE};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use sap_comm_core::{ApiError, ErrorCode};
use serde_json::{Map, Value};
use tokio::time::timeout;

use crate::{GraphqlOptions, execute::Params};

/// The parameters of a GET: `query`, `operationName`, and `variables` and `extensions` as JSON.
pub(super) fn from_query(uri: &Uri) -> Result<Params, ApiError> {
    let Query(pairs) = Query::<HashMap<String, String>>::try_from_uri(uri)
        .map_err(|error| ApiError::new(ErrorCode::BAD_REQUEST, "The query string cannot be read").caused_by(error))?;
    let mut parameters = Map::new();
    for (name, text) in pairs {
        let value = match name.as_str() {
            "variables" | "extensions" if !text.is_empty() => {
                serde_json::from_str(&text).map_err(|_| invalid(&name, "must be a JSON object"))?
            }
            _ => Value::String(text),
        };
        parameters.insert(name, value);
    }
    from_object(parameters)
}

/// The parameters of a POST. Only JSON is read: the other types of a form can be sent by a foreign page.
pub(super) async fn from_body(options: &GraphqlOptions, request: Request) -> Result<Params, ApiError> {
    require_json(request.headers())?;
    let bytes = collect(options, request).await?;
    let value = serde_json::from_slice(&bytes).map_err(|error| {
        ApiError::new(ErrorCode::MALFORMED_BODY, "The body is not JSON").detail("reason", error.to_string())
    })?;
    match value {
        Value::Object(parameters) => from_object(parameters),
        Value::Array(_) => {
            Err(ApiError::new(ErrorCode::BAD_REQUEST, "Batches are not served: send one query a request"))
        }
        _ => Err(ApiError::new(ErrorCode::BAD_REQUEST, "The body must be a JSON object")),
    }
}

fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = content_type.split(';').map(str::trim);
    let json = parts.next().is_some_and(|media| media.eq_ignore_ascii_case("application/json"));
    let utf8 = parts.all(|parameter| match parameter.split_once('=') {
        Some((name, charset)) if name.eq_ignore_ascii_case("charset") => {
            charset.trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    });
    if json && utf8 {
        return Ok(());
    }
    Err(ApiError::new(ErrorCode::UNSUPPORTED_MEDIA_TYPE, "Send application/json in UTF-8")
        .detail("contentType", content_type))
}

async fn collect(options: &GraphqlOptions, request: Request) -> Result<Bytes, ApiError> {
    let too_large = || {
        let message = format!("The body is over the limit of {} bytes", options.max_body);
        ApiError::new(ErrorCode::PAYLOAD_TOO_LARGE, message).detail("max", options.max_body)
    };
    match timeout(options.body_timeout, Limited::new(request.into_body(), options.max_body).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => {
            Err(ApiError::new(ErrorCode::BAD_REQUEST, "The body could not be received").caused_by(error.to_string()))
        }
        Err(_) => Err(ApiError::new(ErrorCode::REQUEST_TIMEOUT, "The body took too long to arrive")),
    }
}

fn from_object(mut parameters: Map<String, Value>) -> Result<Params, ApiError> {
    let query = match parameters.remove("query") {
        Some(Value::String(query)) if !query.trim().is_empty() => query,
        _ => return Err(invalid("query", "must be a query")),
    };
    let operation = match parameters.remove("operationName") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) => Some(name).filter(|name| !name.is_empty()),
        Some(_) => return Err(invalid("operationName", "must be a string")),
    };
    let mut variables = Variables::default();
    for (name, value) in object(&mut parameters, "variables")? {
        variables.insert(Name::new(name), value);
    }
    let extensions = Extensions(object(&mut parameters, "extensions")?);
    Ok(Params { query, operation, variables, extensions })
}

/// A parameter that is an object, null or absent.
fn object(parameters: &mut Map<String, Value>, name: &str) -> Result<HashMap<String, GraphqlValue>, ApiError> {
    match parameters.remove(name) {
        None | Some(Value::Null) => Ok(HashMap::new()),
        Some(Value::String(text)) if text.is_empty() => Ok(HashMap::new()),
        Some(Value::Object(fields)) => fields
            .into_iter()
            .map(|(field, value)| match GraphqlValue::from_json(value) {
                Ok(value) => Ok((field, value)),
                Err(error) => Err(invalid(name, "cannot be read").detail("reason", error.to_string())),
            })
            .collect(),
        Some(_) => Err(invalid(name, "must be an object")),
    }
}

fn invalid(parameter: &str, rule: &str) -> ApiError {
    ApiError::new(ErrorCode::INVALID_ARGUMENT, format!("{parameter} {rule}")).detail("parameter", parameter)
}

use std::collections::BTreeMap;

use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use garde::Validate;
use http::request::Parts;
use sap_comm_core::{ApiError, ErrorCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::{Path, body, field_names, query};

/// A JSON body that satisfies its garde rules.
///
/// What breaks a rule is `VALIDATION_FAILED` (422), with every field in `details.fields` under its path in the JSON:
///
/// ```json
/// {"fields": {"email": ["not a valid email"], "profile.firstName": ["length is lower than 1"]}}
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Valid<T>(pub T);

impl<T, S> FromRequest<S> for Valid<T>
where
    T: DeserializeOwned + Validate<Context: Default>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = body::read(request, state).await?;
        let value: T = body::parse(&bytes)?;
        match value.validate() {
            Ok(()) => Ok(Self(value)),
            Err(report) => Err(refusal(&report, &bytes)),
        }
    }
}

/// The query's parameters as a struct that satisfies its garde rules.
///
/// What breaks a rule is `INVALID_ARGUMENT` (400), with the first parameter in `details.parameter` and all of them in
/// `details.fields`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ValidQuery<T>(pub T);

impl<T, S> FromRequestParts<S> for ValidQuery<T>
where
    T: DeserializeOwned + Validate<Context: Default>,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        let value: T = query::parse(query)?;
        match value.validate() {
            Ok(()) => Ok(Self(value)),
            Err(report) => {
                let sent =
                    form_urlencoded::parse(query.as_bytes()).map(|(name, value)| (name.into_owned(), value.into()));
                Err(refused_parameters(&report, &Value::Object(sent.collect())))
            }
        }
    }
}

/// The parameters of the path as something that satisfies its garde rules; refused like those of [`ValidQuery`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ValidPath<T>(pub T);

impl<T, S> FromRequestParts<S> for ValidPath<T>
where
    T: DeserializeOwned + Validate<Context: Default> + Send,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(value) = Path::<T>::from_request_parts(parts, state).await?;
        match value.validate() {
            Ok(()) => Ok(Self(value)),
            Err(report) => {
                let raw = RawPathParams::from_request_parts(parts, state).await.map_err(ApiError::internal)?;
                let sent = raw.iter().map(|(name, value)| (name.to_owned(), value.into()));
                Err(refused_parameters(&report, &Value::Object(sent.collect())))
            }
        }
    }
}

fn refusal(report: &garde::Report, body: &[u8]) -> ApiError {
    let sent = serde_json::from_slice(body).unwrap_or_default();
    let fields = fields(report, &sent);
    let message = match fields.keys().next() {
        Some(field) if fields.len() == 1 => format!("The field {field} is not valid"),
        _ => format!("{} fields are not valid", fields.len()),
    };
    ApiError::new(ErrorCode::VALIDATION_FAILED, message).detail("fields", json!(fields))
}

fn refused_parameters(report: &garde::Report, sent: &Value) -> ApiError {
    let fields = fields(report, sent);
    let first = fields.iter().next();
    let (name, reason) = first.map_or(("", ""), |(name, reasons)| (name, reasons.first().map_or("", String::as_str)));
    ApiError::new(ErrorCode::INVALID_ARGUMENT, format!("The parameter {name} is not valid: {reason}"))
        .detail("parameter", name)
        .detail("fields", json!(fields))
}

/// What is wrong with each field, by its path in what was sent.
fn fields(report: &garde::Report, sent: &Value) -> BTreeMap<String, Vec<String>> {
    let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, error) in report.iter() {
        fields.entry(field_names::in_json(path, sent)).or_default().push(error.message().to_owned());
    }
    fields
}

use std::collections::BTreeMap;

use axum::extract::{FromRequest, Request};
use garde::Validate;
use sap_comm_core::{ApiError, ErrorCode};
use serde::de::DeserializeOwned;

use super::{body, field_names};

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

fn refusal(report: &garde::Report, body: &[u8]) -> ApiError {
    let sent = serde_json::from_slice(body).unwrap_or_default();
    let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, error) in report.iter() {
        fields.entry(field_names::in_json(path, &sent)).or_default().push(error.message().to_owned());
    }
    let message = match fields.keys().next() {
        Some(field) if fields.len() == 1 => format!("The field {field} is not valid"),
        _ => format!("{} fields are not valid", fields.len()),
    };
    ApiError::new(ErrorCode::VALIDATION_FAILED, message).detail("fields", serde_json::json!(fields))
}

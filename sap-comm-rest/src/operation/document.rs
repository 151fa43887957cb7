//! The OpenAPI document of a contract.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use sap_comm_core::{ErrorCode, ErrorEnvelope};
use serde_json::{Map, Value, json};

use super::{
    Contract, Definition, Description, Idempotency,
    schema::{Schemas, reference},
};
use crate::{gateway::Access, server::idempotency};

/// What any request may meet before it reaches its handler, at the gateway or in the kit.
const ALWAYS: [(ErrorCode, &str); 9] = [
    (ErrorCode::BAD_REQUEST, "The request is malformed."),
    (ErrorCode::URI_TOO_LONG, "The URI is over the limit."),
    (ErrorCode::RATE_LIMITED, "The caller is over its rate limit."),
    (ErrorCode::HEADERS_TOO_LARGE, "The headers are over the limit."),
    (ErrorCode::INTERNAL_ERROR, "Something unforeseen; the log has it under the request id."),
    (ErrorCode::BAD_GATEWAY, "A service behind this one gave no valid answer."),
    (ErrorCode::SERVICE_UNAVAILABLE, "The service cannot answer now."),
    (ErrorCode::CIRCUIT_OPEN, "The service is not called for a while, since it failed."),
    (ErrorCode::GATEWAY_TIMEOUT, "The service did not answer in time."),
];

const WITH_CREDENTIALS: [(ErrorCode, &str); 3] = [
    (ErrorCode::UNAUTHENTICATED, "No credential was sent."),
    (ErrorCode::INVALID_TOKEN, "The token or key is not valid."),
    (ErrorCode::TOKEN_EXPIRED, "The token has expired."),
];

/// The document, and the names that stand for two schemas.
pub(super) fn build(contract: &Contract) -> (Value, Vec<String>) {
    let mut schemas = Schemas::default();
    schemas.of::<ErrorEnvelope>();
    schemas.add("Problem".to_owned(), problem());
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for operation in contract.operations {
        let mut description = Description::new(operation.verb, operation.path, schemas);
        (operation.describe)(&mut description);
        add_failures(operation, &mut description);
        let method = operation.verb.as_str().to_ascii_lowercase();
        let described = describe(operation, &mut description);
        paths.entry(operation.path).or_default().insert(method, described);
        schemas = description.schemas;
    }
    let tags: BTreeSet<_> = contract.operations.iter().map(|operation| operation.tag).collect();
    let tags: Vec<_> = tags.into_iter().filter(|tag| !tag.is_empty()).map(|tag| json!({"name": tag})).collect();
    let clashes = std::mem::take(&mut schemas.clashes);
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": contract.service,
            "description": contract.description,
            "version": contract.version,
        },
        "servers": [{"url": "/"}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas.into_value(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    });
    (document, clashes)
}

/// The codes that the operation's part of the document has.
pub(super) fn codes(operation: &Definition) -> impl Iterator<Item = String> + use<> {
    let mut description = Description::new(operation.verb, operation.path, Schemas::default());
    (operation.describe)(&mut description);
    add_failures(operation, &mut description);
    description.failures.into_values().flat_map(BTreeMap::into_keys)
}

fn add_failures(operation: &Definition, description: &mut Description) {
    for (code, when) in &ALWAYS {
        description.fails(code, when);
    }
    if operation.access == Access::Authenticated {
        for (code, when) in &WITH_CREDENTIALS {
            description.fails(code, when);
        }
        if !operation.roles.is_empty() || !operation.scopes.is_empty() {
            description.fails(&ErrorCode::FORBIDDEN, "A role or scope that this needs is missing.");
        }
    }
    if description.path_parameters().next().is_some() {
        description.fails(&ErrorCode::INVALID_ARGUMENT, "A path parameter is not valid.");
        description.fails(&ErrorCode::NOT_FOUND, "The path is that of nothing.");
    }
    if operation.idempotency != Idempotency::None {
        let about = "Carries the request out once, however often it is sent with this key.";
        let schema =
            json!({"type": "string", "minLength": 1, "maxLength": idempotency::MAX_KEY, "pattern": "^[!-~]+$"});
        description.header_parameter("Idempotency-Key", about, operation.idempotency == Idempotency::Required, schema);
        description.fails(&idempotency::in_progress(), "The request with this key is being carried out.");
        description.fails(&idempotency::reused(), "The key was used for another request, or by another caller.");
        description.fails(&ErrorCode::GONE.of("answer"), "It was carried out; its answer was too large to keep.");
        for status in description.answers().collect::<Vec<_>>() {
            let schema = json!({"type": "string", "const": "true"});
            description.optional_header(
                status,
                idempotency::REPLAYED,
                "It is the answer of an earlier request.",
                schema,
            );
        }
    }
    if !description.body.is_empty() {
        description.fails(&ErrorCode::REQUEST_TIMEOUT, "The body stopped arriving.");
        description.fails(&ErrorCode::PAYLOAD_TOO_LARGE, "The body is over the limit.");
        description
            .fails(&ErrorCode::UNSUPPORTED_MEDIA_TYPE, "The body is of a type or an encoding that is not taken.");
    }
    for (code, when) in operation.errors.codes() {
        description.fails(&ErrorCode::from_wire(code), when);
    }
}

fn describe(operation: &Definition, description: &mut Description) -> Value {
    if operation.deprecation.is_some() {
        for status in description.answers().collect::<Vec<_>>() {
            let text = json!({"type": "string"});
            description.header(status, "deprecation", "Since when it is deprecated (RFC 9745).", text.clone());
            description.optional_header(status, "sunset", "When it will be gone (RFC 8594).", text);
        }
    }
    let mut described = json!({
        "operationId": id(operation),
        "parameters": description.parameters,
        "responses": responses(description),
    });
    for (key, text) in [("summary", operation.summary), ("description", operation.description)] {
        if !text.is_empty() {
            described[key] = text.into();
        }
    }
    if operation.deprecation.is_some() {
        described["deprecated"] = true.into();
    }
    if !operation.tag.is_empty() {
        described["tags"] = json!([operation.tag]);
    }
    if !description.body.is_empty() {
        described["requestBody"] = json!({"required": true, "content": description.body});
    }
    described["security"] = match operation.access {
        Access::Public => json!([]),
        Access::Authenticated => {
            let needs: Vec<_> = operation.roles.iter().chain(operation.scopes).collect();
            json!([{"bearer": needs}, {"apiKey": needs}])
        }
    };
    described
}

/// Its own, or one made of method and path: `get_api_v1_users_id`.
fn id(operation: &Definition) -> String {
    if !operation.id.is_empty() {
        return operation.id.to_owned();
    }
    let mut id = operation.verb.as_str().to_ascii_lowercase();
    for word in operation.path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        id.push('_');
        id.push_str(word);
    }
    id
}

fn responses(description: &Description) -> Value {
    let mut responses = Map::new();
    for (status, answer) in &description.answers {
        let mut answer = answer.clone();
        answer["headers"]["x-request-id"] = request_id();
        responses.insert(status.to_string(), answer);
    }
    for (status, codes) in &description.failures {
        responses.insert(status.to_string(), failure(*status, codes));
    }
    responses.into()
}

fn failure(status: u16, codes: &BTreeMap<String, String>) -> Value {
    let list: Vec<_> = codes.iter().map(|(code, when)| format!("- `{code}`: {when}")).collect();
    let examples: Map<_, _> = codes.iter().map(|(code, when)| (code.clone(), example(code, when))).collect();
    let mut headers = json!({"x-request-id": request_id()});
    if status == StatusCode::UNAUTHORIZED.as_u16() {
        headers["www-authenticate"] = json!({"description": "The scheme.", "schema": {"type": "string"}});
    }
    if matches!(status, 429 | 503) {
        headers["retry-after"] =
            json!({"description": "Seconds until a retry may succeed.", "schema": {"type": "integer", "minimum": 0}});
    }
    json!({
        "description": list.join("\n"),
        "headers": headers,
        "content": {
            "application/json": {"schema": reference("ErrorEnvelope"), "examples": examples},
            "application/problem+json": {"schema": reference("Problem")},
        },
    })
}

fn example(code: &str, message: &str) -> Value {
    json!({"value": {"error": {
        "code": code,
        "message": message,
        "details": {},
        "timestamp": "2025-05-19T18:30:00.000Z",
        "requestId": "req_0196e9b6c8a07d3f8a1b2c3d4e5f6071",
    }}})
}

fn request_id() -> Value {
    json!({"description": "Finds the request in the logs.", "schema": {"type": "string"}})
}

/// RFC 9457, for those whose `Accept` asks for it.
fn problem() -> Value {
    json!({
        "type": "object",
        "description": "Problem details (RFC 9457), for those who accept `application/problem+json`.",
        "required": ["type", "title", "status", "detail", "code", "details", "requestId"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": ["string", "null"]},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "code": {"type": "string"},
            "details": {"type": "object"},
            "requestId": {"type": "string"},
        },
    })
}

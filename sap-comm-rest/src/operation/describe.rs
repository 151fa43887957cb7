use std::collections::BTreeMap;

use http::StatusCode;
use sap_comm_core::ErrorCode;
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};

use super::{
    Verb,
    definition::parameters,
    schema::{Schemas, to_value},
};

/// What an operation takes and answers with, as its types tell it for the document.
#[derive(Debug)]
pub struct Description {
    verb: Verb,
    path: &'static str,
    pub(super) schemas: Schemas,
    pub(super) parameters: Vec<Value>,
    pub(super) body: Map<String, Value>,
    pub(super) answers: BTreeMap<u16, Value>,
    pub(super) failures: BTreeMap<u16, BTreeMap<String, String>>,
}

impl Description {
    pub(super) fn new(verb: Verb, path: &'static str, schemas: Schemas) -> Self {
        Self {
            verb,
            path,
            schemas,
            parameters: Vec::new(),
            body: Map::new(),
            answers: BTreeMap::new(),
            failures: BTreeMap::new(),
        }
    }

    /// The names of the path's parameters, in their order.
    pub fn path_parameters(&self) -> impl Iterator<Item = &'static str> + use<> {
        parameters(self.path)
    }

    /// Whether the operation reads.
    #[must_use]
    pub fn is_read(&self) -> bool {
        self.verb == Verb::Get
    }

    /// The statuses of the answers so far.
    pub fn answers(&self) -> impl Iterator<Item = StatusCode> + '_ {
        self.answers.keys().filter_map(|status| StatusCode::from_u16(*status).ok())
    }

    /// The schema of `T`, a reference where it has a name of its own.
    pub fn schema<T: ToSchema>(&mut self) -> Value {
        self.schemas.of::<T>()
    }

    /// Names a schema, and refers to it.
    pub fn named_schema(&mut self, name: &str, schema: Value) -> Value {
        self.schemas.add(name.to_owned(), schema);
        super::schema::reference(name)
    }

    /// Takes a parameter of the path.
    pub fn path_parameter(&mut self, name: &str, schema: Value) {
        self.parameters.push(with_schema(json!({"name": name, "in": "path", "required": true}), schema));
    }

    /// Takes a header.
    pub fn header_parameter(&mut self, name: &str, description: &str, required: bool, schema: Value) {
        let parameter = json!({"name": name, "in": "header", "description": description, "required": required});
        self.parameters.push(with_schema(parameter, schema));
    }

    /// Takes a parameter of the query.
    pub fn query_parameter(&mut self, name: &str, description: &str, required: bool, schema: Value) {
        let parameter = json!({"name": name, "in": "query", "description": description, "required": required});
        self.parameters.push(with_schema(parameter, schema));
    }

    /// Takes the parameters of a query.
    pub fn query_parameters<Q: IntoParams>(&mut self) {
        let parameters = Q::into_params(|| Some(utoipa::openapi::path::ParameterIn::Query));
        self.parameters.extend(parameters.iter().map(to_value));
    }

    /// Takes a body.
    pub fn body(&mut self, content_type: &str, schema: Value) {
        self.body.insert(content_type.to_owned(), with_schema(json!({}), schema));
    }

    /// Answers with this status.
    pub fn answer(&mut self, status: StatusCode, description: &str) {
        self.answers.insert(status.as_u16(), json!({"description": description}));
    }

    /// Answers of this status have a body.
    pub fn content(&mut self, status: StatusCode, content_type: &str, schema: Value) {
        self.of(status)["content"][content_type] = with_schema(json!({}), schema);
    }

    /// Answers of this status have a header.
    pub fn header(&mut self, status: StatusCode, name: &str, description: &str, schema: Value) {
        let header = json!({"description": description, "required": true});
        self.of(status)["headers"][name] = with_schema(header, schema);
    }

    fn of(&mut self, status: StatusCode) -> &mut Value {
        self.answers.entry(status.as_u16()).or_insert_with(|| json!({"description": ""}))
    }

    /// Answers of this status may have a header.
    pub fn optional_header(&mut self, status: StatusCode, name: &str, description: &str, schema: Value) {
        self.header(status, name, description, schema);
        self.of(status)["headers"][name]["required"] = false.into();
    }

    /// May fail with this code.
    pub fn fails(&mut self, code: &ErrorCode, when: &str) {
        let codes = self.failures.entry(code.status().as_u16()).or_default();
        codes.insert(code.as_str().to_owned(), when.to_owned());
    }
}

fn with_schema(mut described: Value, schema: Value) -> Value {
    described["schema"] = schema;
    described
}

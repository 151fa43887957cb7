//! What a change of an OpenAPI document does to those who call the service already.
//!
//! What a service takes must not shrink, and what it answers must not grow: a value that was taken is taken still, and a
//! value that is answered is one that could be answered before. Further properties in an answer are for clients to ignore. A
//! keyword of a schema that is not understood breaks callers when it changes, unless it only tells people something.
//!
//! ```
//! use sap_comm_rest::operation::compatibility::compare;
//! use serde_json::json;
//!
//! let before = json!({"paths": {"/users": {"get": {}, "delete": {}}}});
//! let after = json!({"paths": {"/users": {"get": {}, "post": {}}}});
//! let changes = compare(&before, &after);
//! let breaking: Vec<_> = changes.iter().filter(|change| change.breaking).map(ToString::to_string).collect();
//! assert_eq!(breaking, ["DELETE /users: is gone"]);
//! ```

mod members;
mod operations;
mod schemas;
mod snapshot;
mod values;

use std::fmt;

use serde_json::Value;

use schemas::Direction;
pub use snapshot::{SnapshotError, check_snapshot};

/// One change of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where, such as `GET /users 200 data[].email`.
    pub place: String,
    /// What is different now.
    pub what: String,
    /// Whether it breaks a caller that was right before.
    pub breaking: bool,
}

/// The changes from one OpenAPI document to the next, in the order of paths.
#[must_use]
pub fn compare(before: &Value, after: &Value) -> Vec<Change> {
    let mut changes = Changes { before, after, found: Vec::new(), below: Vec::new() };
    changes.operations();
    changes.found
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Two documents, and what was found so far.
struct Changes<'a> {
    before: &'a Value,
    after: &'a Value,
    found: Vec<Change>,
    /// The pairs of schemas that are being compared: schemas may hold themselves.
    below: Vec<(*const Value, *const Value, Direction)>,
}

impl<'a> Changes<'a> {
    fn breaking(&mut self, place: &str, what: impl Into<String>) {
        self.push(place, what, true);
    }

    fn compatible(&mut self, place: &str, what: impl Into<String>) {
        self.push(place, what, false);
    }

    fn push(&mut self, place: &str, what: impl Into<String>, breaking: bool) {
        let change = Change { place: place.to_owned(), what: what.into(), breaking };
        if !self.found.contains(&change) {
            self.found.push(change);
        }
    }
}

/// What a `$ref` within a document refers to.
fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let mut value = value;
    // As many steps as any sane document has; a circle of bare references ends too.
    for _ in 0..16 {
        match value.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#')) {
            Some(pointer) => value = document.pointer(pointer).unwrap_or(&Value::Null),
            None => break,
        }
    }
    value
}

/// The entries of an object, or none.
fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// The elements of an array, or none.
fn elements(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

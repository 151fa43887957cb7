//! Completes what was executed, as the GraphQL specification has it.
//!
//! The executor leaves a field that failed out of its object, whatever the field's type, and writes fields in the order in
//! which they were resolved. Clients expect the order of the query, null for a field that failed, and null instead of the
//! object around it when the field must not be null.

mod collect;
mod types;

use async_graphql::{
    Name, PathSegment, ServerError, Value, Variables,
    indexmap::IndexMap,
    parser::types::{BaseType, ExecutableDocument, Field, Type},
};

use self::collect::{Collect, Collected};
pub(crate) use self::types::Types;
use crate::absent::selected;

/// What is known of a request once it was executed.
pub(crate) struct Completion<'a> {
    pub(crate) types: &'a Types,
    pub(crate) document: &'a ExecutableDocument,
    pub(crate) operation: Option<&'a str>,
    pub(crate) variables: &'a Variables,
    pub(crate) errors: &'a [ServerError],
}

impl Completion<'_> {
    /// The data in the order of the query, with null where a field failed.
    pub(crate) fn complete(&self, data: Value) -> Value {
        let Some(operation) = selected(&self.document.operations, self.operation) else { return data };
        let Self { types, document, variables, .. } = *self;
        let collect = Collect { types, document, variables };
        let mut walk = Walk { collect, errors: self.errors, path: Vec::new() };
        let Some(root) = types.root(operation.ty) else { return data };
        let fields = walk.collect.fields(Some(root), std::iter::once(&operation.selection_set.node));
        walk.object(Some(root), &fields, into_object(data)).map_or(Value::Null, Value::Object)
    }
}

struct Walk<'a> {
    collect: Collect<'a>,
    errors: &'a [ServerError],
    path: Vec<PathSegment>,
}

impl<'a> Walk<'a> {
    /// `None` when a field that must not be null is null: then the object is.
    fn object(
        &mut self,
        name: Option<&Name>,
        fields: &Collected<'a>,
        mut data: IndexMap<Name, Value>,
    ) -> Option<IndexMap<Name, Value>> {
        let mut completed = IndexMap::with_capacity(fields.len());
        for (&key, selections) in fields {
            let value = data.swap_remove(key);
            let first = selections.first()?;
            self.path.push(PathSegment::Field(key.to_string()));
            let types = self.collect.types;
            let value = match name.and_then(|name| types.field(name, &first.name.node)) {
                Some(of) => Some(self.value(of, selections, value.unwrap_or_default())?),
                // The name of the type and the schema's own types, which the executor knows by itself.
                None => value.map(|value| self.unknown(selections, value)),
            };
            self.path.pop();
            if let Some(value) = value {
                completed.insert(key.clone(), value);
            }
        }
        Some(completed)
    }

    /// `None` when the value must not be null and is. The path is then of no further use to the object around it.
    fn value(&mut self, of: &Type, selections: &[&'a Field], value: Value) -> Option<Value> {
        let value = match (&of.base, value) {
            (BaseType::List(inner), Value::List(items)) => self.list(inner, selections, items),
            (BaseType::Named(name), value) => match self.collect.types.object(name) {
                Some(object) if matches!(value, Value::Object(_)) || (value == Value::Null && self.failed_below()) => {
                    let depth = self.path.len();
                    let fields = self.collect.fields(Some(object), sets(selections));
                    let completed = self.object(Some(object), &fields, into_object(value));
                    self.path.truncate(depth);
                    completed.map_or(Value::Null, Value::Object)
                }
                Some(_) => value,
                None => self.unknown(selections, value),
            },
            (_, value) => value,
        };
        (of.nullable || value != Value::Null).then_some(value)
    }

    fn list(&mut self, inner: &Type, selections: &[&'a Field], items: Vec<Value>) -> Value {
        let depth = self.path.len();
        let mut completed = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            self.path.push(PathSegment::Index(index));
            let item = self.value(inner, selections, item);
            self.path.truncate(depth);
            match item {
                Some(item) => completed.push(item),
                None => return Value::Null,
            }
        }
        Value::List(completed)
    }

    /// Orders a value of a type that is not an object of the schema.
    fn unknown(&mut self, selections: &[&'a Field], value: Value) -> Value {
        if selections.iter().all(|field| field.selection_set.node.items.is_empty()) {
            return value;
        }
        match value {
            Value::List(items) => Value::List(items.into_iter().map(|item| self.unknown(selections, item)).collect()),
            Value::Object(data) => {
                let fields = self.collect.fields(None, sets(selections));
                self.object(None, &fields, data).map_or(Value::Null, Value::Object)
            }
            value => value,
        }
    }

    /// Whether a field below this one failed: then the object was there, and the executor left nothing of it.
    fn failed_below(&self) -> bool {
        self.errors.iter().any(|error| error.path.len() > self.path.len() && error.path.starts_with(&self.path))
    }
}

fn sets<'a>(selections: &[&'a Field]) -> impl Iterator<Item = &'a async_graphql::parser::types::SelectionSet> {
    selections.iter().map(|field| &field.selection_set.node)
}

fn into_object(value: Value) -> IndexMap<Name, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => IndexMap::new(),
    }
}

#[cfg(test)]
mod tests;

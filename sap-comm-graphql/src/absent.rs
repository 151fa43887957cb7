//! Variables that the caller left out.
//!
//! The GraphQL specification says that an argument or input field whose variable was left out is left out itself. The
//! executor makes it null instead (async-graphql #1818), by which an update would wipe what it does not name.

use std::collections::HashSet;

use async_graphql::{
    Name, Positioned, Variables,
    parser::types::{Directive, DocumentOperations, ExecutableDocument, OperationDefinition, Selection, SelectionSet},
};
use async_graphql_value::Value;

type Names = HashSet<Name>;

/// Gives the variables that were left out the defaults of the operation.
///
/// The executor knows them too, but not where it evaluates `@skip` and `@include`.
pub(crate) fn fill_defaults(document: &ExecutableDocument, operation: Option<&str>, variables: &mut Variables) {
    let Some(operation) = selected(&document.operations, operation) else { return };
    for definition in operation.variable_definitions.iter().map(|definition| &definition.node) {
        if let Some(default) = &definition.default_value {
            variables.entry(definition.name.node.clone()).or_insert_with(|| default.node.clone());
        }
    }
}

/// Takes arguments and input fields out of the document whose variable has neither value nor default.
pub(crate) fn leave_out(document: &mut ExecutableDocument, operation: Option<&str>, variables: &Variables) {
    let absent = match selected(&document.operations, operation) {
        Some(operation) => absent(operation, variables),
        None => return,
    };
    if absent.is_empty() {
        return;
    }
    let mut used = Names::new();
    for fragment in document.fragments.values_mut() {
        prune(&mut fragment.node.selection_set.node, &absent, &mut used);
        collect_from_directives(&fragment.node.directives, &mut used);
    }
    let operations: Vec<_> = match &mut document.operations {
        DocumentOperations::Single(operation) => vec![&mut operation.node],
        DocumentOperations::Multiple(operations) => {
            operations.values_mut().map(|operation| &mut operation.node).collect()
        }
    };
    for operation in operations {
        let mut used = used.clone();
        prune(&mut operation.selection_set.node, &absent, &mut used);
        collect_from_directives(&operation.directives, &mut used);
        // Else the validation would call them unused.
        operation.variable_definitions.retain(|definition| {
            let name = &definition.node.name.node;
            used.contains(name) || !absent.contains(name)
        });
    }
}

/// The operation that the request asks for.
pub(crate) fn selected<'a>(operations: &'a DocumentOperations, name: Option<&str>) -> Option<&'a OperationDefinition> {
    match (operations, name) {
        (DocumentOperations::Single(operation), None) => Some(&operation.node),
        (DocumentOperations::Multiple(operations), Some(name)) => operations.get(name).map(|operation| &operation.node),
        (DocumentOperations::Multiple(operations), None) if operations.len() == 1 => {
            operations.values().next().map(|operation| &operation.node)
        }
        _ => None,
    }
}

fn absent(operation: &OperationDefinition, variables: &Variables) -> Names {
    let definitions = operation.variable_definitions.iter().map(|definition| &definition.node);
    definitions
        .filter(|definition| definition.var_type.node.nullable && definition.default_value.is_none())
        .map(|definition| definition.name.node.clone())
        .filter(|name| !variables.contains_key(name))
        .collect()
}

/// Prunes a selection, and collects the variables that are still used in it.
fn prune(set: &mut SelectionSet, absent: &Names, used: &mut Names) {
    for item in &mut set.items {
        collect_from_directives(item.node.directives(), used);
        match &mut item.node {
            Selection::Field(field) => {
                field.node.arguments.retain_mut(|(_, value)| !is_absent(&value.node, absent));
                for (_, value) in &mut field.node.arguments {
                    prune_value(&mut value.node, absent, used);
                }
                prune(&mut field.node.selection_set.node, absent, used);
            }
            Selection::InlineFragment(inline) => prune(&mut inline.node.selection_set.node, absent, used),
            Selection::FragmentSpread(_) => {}
        }
    }
}

fn is_absent(value: &Value, absent: &Names) -> bool {
    matches!(value, Value::Variable(name) if absent.contains(name))
}

fn prune_value(value: &mut Value, absent: &Names, used: &mut Names) {
    match value {
        Value::Variable(name) => {
            used.insert(name.clone());
        }
        Value::List(items) => items.iter_mut().for_each(|item| prune_value(item, absent, used)),
        Value::Object(fields) => {
            fields.retain(|_, field| !is_absent(field, absent));
            fields.values_mut().for_each(|field| prune_value(field, absent, used));
        }
        _ => {}
    }
}

fn collect_from_directives(directives: &[Positioned<Directive>], used: &mut Names) {
    for (_, value) in directives.iter().flat_map(|directive| &directive.node.arguments) {
        collect(&value.node, used);
    }
}

fn collect(value: &Value, used: &mut Names) {
    match value {
        Value::Variable(name) => {
            used.insert(name.clone());
        }
        Value::List(items) => items.iter().for_each(|item| collect(item, used)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, used)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::{EmptyMutation, EmptySubscription, InputObject, MaybeUndefined, Object, Request, Schema};
    use serde_json::json;

    use super::*;

    #[derive(InputObject)]
    struct Input {
        email: MaybeUndefined<String>,
        nested: Option<Box<Self>>,
    }

    struct Query;

    #[Object]
    impl Query {
        async fn show(&self, input: Option<Input>, #[graphql(default = 10)] limit: i32) -> String {
            let words = |input: &Input| match &input.email {
                MaybeUndefined::Undefined => "absent".to_owned(),
                MaybeUndefined::Null => "null".to_owned(),
                MaybeUndefined::Value(value) => value.clone(),
            };
            let input = input.map(|input| (words(&input), input.nested.as_deref().map(words)));
            format!("{input:?} {limit}")
        }
    }

    async fn run(query: &str, variables: serde_json::Value) -> String {
        let schema = Schema::new(Query, EmptyMutation, EmptySubscription);
        let mut request = Request::new(query).variables(Variables::from_json(variables));
        let mut document = async_graphql::parser::parse_query(query).unwrap();
        leave_out(&mut document, None, &request.variables);
        request.set_parsed_query(document);
        let response = schema.execute(request).await.into_result().unwrap();
        response.data.into_json().unwrap()["show"].as_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn an_absent_variable_in_an_input_object_stays_absent() {
        let query = "query($email: String) { show(input: {email: $email, nested: {email: $email}}) }";
        assert_eq!(run(query, json!({})).await, r#"Some(("absent", Some("absent"))) 10"#);
        assert_eq!(run(query, json!({"email": null})).await, r#"Some(("null", Some("null"))) 10"#);
        assert_eq!(run(query, json!({"email": "a"})).await, r#"Some(("a", Some("a"))) 10"#);
    }

    #[tokio::test]
    async fn an_absent_argument_takes_its_default() {
        let query =
            "query Q($limit: Int, $input: Input) { ...F } fragment F on Query { show(limit: $limit, input: $input) }";
        assert_eq!(run(query, json!({})).await, "None 10");
        assert_eq!(run(query, json!({"limit": 5})).await, "None 5");
    }

    #[tokio::test]
    async fn a_default_of_the_operation_counts_as_a_value() {
        let query = "query($email: String = \"d\") { show(input: {email: $email}) }";
        assert_eq!(run(query, json!({})).await, r#"Some(("d", None)) 10"#);
    }
}

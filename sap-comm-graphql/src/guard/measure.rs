use std::collections::HashMap;

use async_graphql::{
    Positioned, Variables,
    parser::types::{Directive, ExecutableDocument, Field, OperationDefinition, Selection, SelectionSet},
};
use async_graphql_value::{ConstValue, Value};
use sap_comm_core::{ApiError, ErrorCode};

use super::{GuardLimits, Refused, cost::Cost, within};

/// Measures a document; each fragment once.
pub(super) struct Measure<'a> {
    limits: &'a GuardLimits,
    document: &'a ExecutableDocument,
    variables: &'a Variables,
    /// `None` while a fragment is being measured, by which a cycle is found.
    fragments: HashMap<&'a str, Option<Cost>>,
    /// Fragments that are being measured, within one another.
    open: usize,
}

/// Arguments that say how many items a list has.
const PAGE_SIZES: [&str; 3] = ["limit", "first", "last"];

/// Fields of the schema's schema that lead from a type to other types.
const TYPE_LISTS: [&str; 4] = ["fields", "inputFields", "interfaces", "possibleTypes"];

impl<'a> Measure<'a> {
    pub(super) fn new(limits: &'a GuardLimits, document: &'a ExecutableDocument, variables: &'a Variables) -> Self {
        Self { limits, document, variables, fragments: HashMap::new(), open: 0 }
    }

    /// Measures operations and fragments, used or not, since all of them are validated. Says whether the schema is asked for.
    pub(super) fn check(mut self) -> Result<bool, Refused> {
        for name in self.document.fragments.keys() {
            self.fragment(name.as_str())?.check(self.limits)?;
        }
        let mut total = Cost::default();
        for (_, operation) in self.document.operations.iter() {
            let cost = self.operation(&operation.node)?;
            within(cost.top, "max_root_fields", self.limits.max_root_fields)?;
            total = total.beside(cost);
        }
        total.check(self.limits)?;
        Ok(total.schema)
    }

    fn operation(&mut self, operation: &'a OperationDefinition) -> Result<Cost, Refused> {
        let directives = operation.variable_definitions.iter().map(|variable| variable.node.directives.len()).sum();
        let cost = self.selection(&operation.selection_set.node)?;
        Ok(cost.beside(of_directives(&operation.directives)).beside(Cost { directives, ..Cost::default() }))
    }

    fn selection(&mut self, set: &'a SelectionSet) -> Result<Cost, Refused> {
        set.items.iter().try_fold(Cost::default(), |sum, item| {
            let cost = match &item.node {
                Selection::Field(field) => self.field(&field.node)?,
                Selection::FragmentSpread(spread) => self.fragment(spread.node.fragment_name.node.as_str())?,
                Selection::InlineFragment(inline) => self.selection(&inline.node.selection_set.node)?,
            };
            Ok(sum.beside(cost).beside(of_directives(item.node.directives())))
        })
    }

    fn field(&mut self, field: &'a Field) -> Result<Cost, Refused> {
        let below = self.selection(&field.selection_set.node)?;
        let name = field.name.node.as_str();
        let schema = matches!(name, "__schema" | "__type");
        Ok(Cost {
            fields: below.fields.saturating_add(1),
            top: 1,
            depth: below.depth + 1,
            aliases: below.aliases.saturating_add(usize::from(field.alias.is_some())),
            directives: below.directives,
            complexity: below.complexity.saturating_mul(self.page_size(field)).saturating_add(1),
            type_lists: below.type_lists + usize::from(TYPE_LISTS.contains(&name)),
            introspection: if schema { below.type_lists } else { below.introspection },
            schema,
        })
    }

    fn fragment(&mut self, name: &'a str) -> Result<Cost, Refused> {
        match self.fragments.get(name) {
            Some(Some(cost)) => return Ok(*cost),
            Some(None) => return Err(cycle(name)),
            None => {}
        }
        // The validation names a fragment that does not exist.
        let Some(fragment) = self.document.fragments.get(name) else { return Ok(Cost::default()) };
        self.fragments.insert(name, None);
        self.open += 1;
        within(self.open, "max_depth", self.limits.max_depth)?;
        let cost = self.selection(&fragment.node.selection_set.node)?.beside(of_directives(&fragment.node.directives));
        self.open -= 1;
        self.fragments.insert(name, Some(cost));
        Ok(cost)
    }

    /// How many items the field's list may have, as far as its arguments say.
    fn page_size(&self, field: &Field) -> usize {
        let sizes = PAGE_SIZES.iter().filter_map(|name| field.get_argument(name));
        sizes.map(|value| self.number(&value.node)).max().unwrap_or(1).max(1)
    }

    fn number(&self, value: &Value) -> usize {
        let number = match value {
            Value::Number(number) => number.as_u64(),
            Value::Variable(name) => match self.variables.get(name).or_else(|| self.default_of(name.as_str())) {
                Some(ConstValue::Number(number)) => number.as_u64(),
                _ => None,
            },
            _ => None,
        };
        number.map_or(1, |number| usize::try_from(number).unwrap_or(usize::MAX))
    }

    fn default_of(&self, variable: &str) -> Option<&'a ConstValue> {
        let definitions =
            self.document.operations.iter().flat_map(|(_, operation)| &operation.node.variable_definitions);
        let mut own = definitions.filter(|definition| definition.node.name.node == variable);
        own.find_map(|definition| definition.node.default_value.as_ref()).map(|value| &value.node)
    }
}

fn of_directives(directives: &[Positioned<Directive>]) -> Cost {
    Cost { directives: directives.len(), ..Cost::default() }
}

fn cycle(fragment: &str) -> Refused {
    let message = format!("The fragment {fragment} spreads itself");
    Refused::Guard(ApiError::new(ErrorCode::BAD_REQUEST, message).detail("fragment", fragment))
}

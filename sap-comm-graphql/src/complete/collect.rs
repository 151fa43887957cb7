use async_graphql::{
    InputType, Name, Positioned, Variables,
    indexmap::IndexMap,
    parser::types::{Directive, ExecutableDocument, Field, Selection, SelectionSet},
};

use super::Types;

/// The fields of an object by response key, in the order of the query; several of one key are merged.
pub(super) type Collected<'a> = IndexMap<&'a Name, Vec<&'a Field>>;

/// Collects fields as the specification's `CollectFields` does.
pub(super) struct Collect<'a> {
    pub(super) types: &'a Types,
    pub(super) document: &'a ExecutableDocument,
    pub(super) variables: &'a Variables,
}

impl<'a> Collect<'a> {
    /// The fields of `sets` for an object; every fragment applies when the object's type is not known.
    pub(super) fn fields(&self, object: Option<&Name>, sets: impl Iterator<Item = &'a SelectionSet>) -> Collected<'a> {
        let mut collected = Collected::new();
        sets.for_each(|set| self.add(object, set, &mut collected));
        collected
    }

    fn add(&self, object: Option<&Name>, set: &'a SelectionSet, collected: &mut Collected<'a>) {
        for item in &set.items {
            if self.is_left_out(item.node.directives()) {
                continue;
            }
            let (condition, set) = match &item.node {
                Selection::Field(field) => {
                    collected.entry(&field.node.response_key().node).or_default().push(&field.node);
                    continue;
                }
                Selection::InlineFragment(inline) => (inline.node.type_condition.as_ref(), &inline.node.selection_set),
                Selection::FragmentSpread(spread) => match self.document.fragments.get(&spread.node.fragment_name.node)
                {
                    Some(fragment) => (Some(&fragment.node.type_condition), &fragment.node.selection_set),
                    None => continue,
                },
            };
            let applies = match (condition, object) {
                (Some(condition), Some(object)) => self.types.applies(&condition.node.on.node, object),
                _ => true,
            };
            if applies {
                self.add(object, &set.node, collected);
            }
        }
    }

    /// `@skip` and `@include`.
    fn is_left_out(&self, directives: &[Positioned<Directive>]) -> bool {
        directives.iter().any(|directive| {
            let include = match directive.node.name.node.as_str() {
                "include" => true,
                "skip" => false,
                _ => return false,
            };
            let Some(condition) = directive.node.get_argument("if") else { return false };
            let value = condition.node.clone().into_const_with(|name| self.variables.get(&name).cloned().ok_or(()));
            let value = bool::parse(value.ok()).unwrap_or_default();
            value != include
        })
    }
}

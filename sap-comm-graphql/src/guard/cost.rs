use super::{GuardLimits, Refused, within};

/// What a selection costs, with fragments spread. Sums saturate, so that no count is too large to compare.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Cost {
    /// Fields at any level.
    pub(super) fields: usize,
    /// Fields at the top level of the selection.
    pub(super) top: usize,
    /// Levels of fields.
    pub(super) depth: usize,
    pub(super) aliases: usize,
    pub(super) directives: usize,
    pub(super) complexity: usize,
    /// Levels of lists of types, if this is the schema's schema.
    pub(super) type_lists: usize,
    /// The same, below a field that asks for the schema.
    pub(super) introspection: usize,
    /// Whether the top level asks for the schema.
    pub(super) schema: bool,
}

impl Cost {
    /// Both, beside each other.
    pub(super) fn beside(self, other: Self) -> Self {
        Self {
            fields: self.fields.saturating_add(other.fields),
            top: self.top.saturating_add(other.top),
            depth: self.depth.max(other.depth),
            aliases: self.aliases.saturating_add(other.aliases),
            directives: self.directives.saturating_add(other.directives),
            complexity: self.complexity.saturating_add(other.complexity),
            type_lists: self.type_lists.max(other.type_lists),
            introspection: self.introspection.max(other.introspection),
            schema: self.schema || other.schema,
        }
    }

    pub(super) fn check(&self, limits: &GuardLimits) -> Result<(), Refused> {
        within(self.fields, "max_fields", limits.max_fields)?;
        within(self.depth, "max_depth", limits.max_depth)?;
        within(self.aliases, "max_aliases", limits.max_aliases)?;
        within(self.directives, "max_directives", limits.max_directives)?;
        within(self.complexity, "max_complexity", limits.max_complexity)?;
        within(self.introspection, "max_introspection_depth", limits.max_introspection_depth)
    }
}

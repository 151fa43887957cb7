use std::collections::{HashMap, HashSet};

use async_graphql::{
    Name,
    parser::{
        parse_schema,
        types::{OperationType, ServiceDocument, Type, TypeKind, TypeSystemDefinition},
    },
};

/// What the schema says of its object types.
#[derive(Debug, Default)]
pub(crate) struct Types {
    objects: HashMap<Name, Object>,
    query: Option<Name>,
    mutation: Option<Name>,
}

#[derive(Debug, Default)]
struct Object {
    fields: HashMap<Name, Type>,
    /// Interfaces and unions that the object belongs to.
    abstract_types: HashSet<Name>,
}

impl Types {
    /// Reads a schema's own SDL.
    pub(crate) fn from_sdl(sdl: &str) -> Result<Self, async_graphql::parser::Error> {
        Ok(Self::new(parse_schema(sdl)?))
    }

    fn new(document: ServiceDocument) -> Self {
        let mut types = Self::default();
        let mut members = Vec::new();
        for definition in document.definitions {
            match definition {
                TypeSystemDefinition::Schema(schema) => {
                    types.query = schema.node.query.map(|name| name.node);
                    types.mutation = schema.node.mutation.map(|name| name.node);
                }
                TypeSystemDefinition::Type(definition) => {
                    let name = definition.node.name.node;
                    match definition.node.kind {
                        TypeKind::Object(object) => {
                            let own = types.objects.entry(name).or_default();
                            let fields =
                                object.fields.into_iter().map(|field| (field.node.name.node, field.node.ty.node));
                            own.fields.extend(fields);
                            own.abstract_types.extend(object.implements.into_iter().map(|interface| interface.node));
                        }
                        TypeKind::Union(union) => {
                            members.extend(union.members.into_iter().map(|member| (member.node, name.clone())));
                        }
                        _ => {}
                    }
                }
                TypeSystemDefinition::Directive(_) => {}
            }
        }
        for (member, union) in members {
            types.objects.entry(member).or_default().abstract_types.insert(union);
        }
        types
    }

    /// The object that an operation begins with.
    pub(super) fn root(&self, operation: OperationType) -> Option<&Name> {
        match operation {
            OperationType::Query => self.query.as_ref(),
            OperationType::Mutation => self.mutation.as_ref(),
            OperationType::Subscription => None,
        }
    }

    /// The type's own name, if it is an object.
    pub(super) fn object(&self, name: &Name) -> Option<&Name> {
        self.objects.get_key_value(name).map(|(name, _)| name)
    }

    pub(super) fn field(&self, object: &Name, field: &Name) -> Option<&Type> {
        self.objects.get(object)?.fields.get(field)
    }

    /// Whether a fragment on `condition` applies to `object`.
    pub(super) fn applies(&self, condition: &Name, object: &Name) -> bool {
        condition == object || self.objects.get(object).is_some_and(|object| object.abstract_types.contains(condition))
    }
}

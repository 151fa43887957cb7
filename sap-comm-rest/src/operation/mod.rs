#![doc = include_str!("../docs/operation.md")]

pub mod compatibility;
mod contract;
mod definition;
mod describe;
mod document;
mod error_codes;
mod input;
mod output;
mod resource_id;
mod schema;

use std::{fmt, marker::PhantomData, time::Duration};

pub use contract::Contract;
pub(crate) use definition::Idempotency;
pub use definition::{Definition, Verb};
pub use describe::Description;
pub use error_codes::{DeclaredCodes, ErrorCodes, NoErrors};
pub use input::{Argument, Arguments, Input, InputPart, PathParameter, PathParameters, RequestParts, Untyped};
pub use output::Output;
pub use resource_id::{InvalidResourceId, ResourceId};

use crate::{
    gateway::{Access, Quota},
    server::Deprecation,
};

/// One operation of a service: what it takes (`I`), what it answers with (`O`), and the errors it declares (`E`).
///
/// `I` is a tuple of what the handler extracts of path, query and body; `O` is what the handler answers with. Callers must
/// be authenticated unless [`Operation::public`] says otherwise.
pub struct Operation<I, O, E = NoErrors> {
    definition: Definition,
    types: PhantomData<fn(I) -> Result<O, E>>,
}

impl<I: Input, O: Output, E: ErrorCodes> Operation<I, O, E> {
    const fn new(verb: Verb, path: &'static str) -> Self {
        Self { definition: Definition::new(verb, path, describe::<I, O>), types: PhantomData }
    }

    /// A GET of `path`, which begins with a slash; a segment `{name}` is a parameter.
    #[must_use]
    pub const fn get(path: &'static str) -> Self {
        Self::new(Verb::Get, path)
    }

    /// A POST to `path`; see [`Operation::get`].
    #[must_use]
    pub const fn post(path: &'static str) -> Self {
        Self::new(Verb::Post, path)
    }

    /// A PUT to `path`; see [`Operation::get`].
    #[must_use]
    pub const fn put(path: &'static str) -> Self {
        Self::new(Verb::Put, path)
    }

    /// A PATCH of `path`; see [`Operation::get`].
    #[must_use]
    pub const fn patch(path: &'static str) -> Self {
        Self::new(Verb::Patch, path)
    }

    /// A DELETE of `path`; see [`Operation::get`].
    #[must_use]
    pub const fn delete(path: &'static str) -> Self {
        Self::new(Verb::Delete, path)
    }

    /// The errors that this operation declares.
    #[must_use]
    pub const fn errors<const N: usize>(mut self, errors: &'static [E; N]) -> Self {
        self.definition.errors = errors;
        self
    }
}

impl<I, O, E> Operation<I, O, E> {
    /// Its name in the document, such as `getUser`, from which generators make that of a function.
    #[must_use]
    pub const fn id(mut self, id: &'static str) -> Self {
        self.definition.id = id;
        self
    }

    /// What it does, in one line.
    #[must_use]
    pub const fn summary(mut self, summary: &'static str) -> Self {
        self.definition.summary = summary;
        self
    }

    /// What else there is to know.
    #[must_use]
    pub const fn description(mut self, description: &'static str) -> Self {
        self.definition.description = description;
        self
    }

    /// The group that it stands in.
    #[must_use]
    pub const fn tag(mut self, tag: &'static str) -> Self {
        self.definition.tag = tag;
        self
    }

    /// Lets everybody call it.
    #[must_use]
    pub const fn public(mut self) -> Self {
        self.definition.access = Access::Public;
        self
    }

    /// Demands one of these roles.
    #[must_use]
    pub const fn roles(mut self, roles: &'static [&'static str]) -> Self {
        self.definition.roles = roles;
        self
    }

    /// Demands all of these scopes, of the principal or of the service that speaks for it.
    #[must_use]
    pub const fn scopes(mut self, scopes: &'static [&'static str]) -> Self {
        self.definition.scopes = scopes;
        self
    }

    /// What one caller may ask for at the gateway, in place of the gateway's own limit.
    #[must_use]
    pub const fn quota(mut self, quota: Quota) -> Self {
        self.definition.quota = Some(quota);
        self
    }

    /// How long the gateway waits for the answer to begin.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.definition.timeout = Some(timeout);
        self
    }

    /// Bytes of a request body that the gateway passes on.
    #[must_use]
    pub const fn max_body(mut self, bytes: u64) -> Self {
        self.definition.max_body = Some(bytes);
        self
    }

    /// Takes an `Idempotency-Key`, so that it is carried out once however often it is sent; see
    /// [`idempotency`](crate::server::idempotency). The typed client sends a key by itself.
    #[must_use]
    pub const fn idempotency_key(mut self) -> Self {
        self.definition.idempotency = Idempotency::Taken;
        self
    }

    /// Takes an `Idempotency-Key`, and refuses requests without one.
    #[must_use]
    pub const fn requires_idempotency_key(mut self) -> Self {
        self.definition.idempotency = Idempotency::Required;
        self
    }

    /// Tells callers, in headers and document, that it is not to be used any more.
    #[must_use]
    pub const fn deprecated(mut self, deprecation: Deprecation) -> Self {
        self.definition.deprecation = Some(deprecation);
        self
    }

    /// For other services alone: no gateway shows it.
    #[must_use]
    pub const fn internal(mut self) -> Self {
        self.definition.internal = true;
        self
    }

    /// The operation without its types.
    #[must_use]
    pub const fn definition(&self) -> Definition {
        self.definition
    }
}

/// What the types of an operation say about it.
fn describe<I: Input, O: Output>(description: &mut Description) {
    I::describe(description);
    O::describe(description);
}

impl<I, O, E> Clone for Operation<I, O, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I, O, E> Copy for Operation<I, O, E> {}

impl<I, O, E> fmt::Debug for Operation<I, O, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Operation").field(&format_args!("{}", self.definition)).finish()
    }
}

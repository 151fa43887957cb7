use std::{fmt, time::Duration};

use http::Method;

use super::{DeclaredCodes, Description, NoErrors, document};
use crate::{
    gateway::{Access, Quota, Route},
    server::Deprecation,
};

/// An [`Operation`](super::Operation) without its types, as a [`Contract`](super::Contract) lists it.
#[derive(Debug, Clone, Copy)]
pub struct Definition {
    pub(crate) verb: Verb,
    pub(crate) path: &'static str,
    pub(crate) id: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) description: &'static str,
    pub(crate) tag: &'static str,
    pub(crate) access: Access,
    pub(crate) roles: &'static [&'static str],
    pub(crate) scopes: &'static [&'static str],
    pub(crate) quota: Option<Quota>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) max_body: Option<u64>,
    pub(crate) internal: bool,
    pub(crate) idempotency: Idempotency,
    pub(crate) deprecation: Option<Deprecation>,
    pub(crate) errors: &'static dyn DeclaredCodes,
    pub(crate) describe: fn(&mut Description),
}

/// Whether an operation takes an `Idempotency-Key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Idempotency {
    None,
    Taken,
    Required,
}

/// The method of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Reads.
    Get,
    /// Makes something, or sets something going.
    Post,
    /// Replaces, or changes.
    Put,
    /// Changes a part.
    Patch,
    /// Deletes.
    Delete,
}

impl Definition {
    pub(super) const fn new(verb: Verb, path: &'static str, describe: fn(&mut Description)) -> Self {
        const NONE: &[NoErrors; 0] = &[];
        Self {
            verb,
            path,
            id: "",
            summary: "",
            description: "",
            tag: "",
            access: Access::Authenticated,
            roles: &[],
            scopes: &[],
            quota: None,
            timeout: None,
            max_body: None,
            internal: false,
            idempotency: Idempotency::None,
            deprecation: None,
            errors: NONE,
            describe,
        }
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> Method {
        self.verb.method()
    }

    /// The path, its parameters as `{name}`.
    #[must_use]
    pub fn path(&self) -> &'static str {
        self.path
    }

    /// The entry of a gateway that leads to this operation of `service`, and to nothing below it.
    pub fn route(&self, service: &str) -> Route {
        let mut route = Route::new(self.path).exact().methods([self.verb.as_str()]).to(service);
        route = match self.access {
            Access::Public => route.public(),
            Access::Authenticated => {
                route.authenticated().roles(self.roles.iter().copied()).scopes(self.scopes.iter().copied())
            }
        };
        if let Some(quota) = self.quota {
            route = route.rate_limit(quota);
        }
        if let Some(deprecation) = self.deprecation {
            route = route.deprecated(deprecation);
        }
        if let Some(timeout) = self.timeout {
            route = route.timeout(timeout);
        }
        match self.max_body {
            Some(bytes) => route.max_body(bytes),
            None => route,
        }
    }

    /// The codes that the document says it may fail with.
    pub(crate) fn codes(&self) -> impl Iterator<Item = String> + use<> {
        document::codes(self)
    }

    /// The names of the path's parameters, in their order.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = &'static str> {
        parameters(self.path)
    }

    /// The path with its parameters unnamed: two operations with the same one take the same requests.
    pub(crate) fn shape(&self) -> String {
        let segment = |segment| if parameter(segment).is_some() { "{}" } else { segment };
        self.path.split('/').map(segment).collect::<Vec<_>>().join("/")
    }

    /// What is wrong with the path.
    pub(crate) fn path_fault(&self) -> Option<&'static str> {
        let Some(rest) = self.path.strip_prefix('/') else { return Some("must begin with a slash") };
        let sound = |text: &str| {
            let name = parameter(text);
            let word = name.unwrap_or(text);
            let allowed = |byte: u8| {
                byte.is_ascii_alphanumeric() || byte == b'_' || (name.is_none() && matches!(byte, b'-' | b'.' | b'~'))
            };
            !matches!(word, "" | "." | "..") && word.bytes().all(allowed)
        };
        if !rest.split('/').all(sound) {
            return Some("each segment must be `{name}` or letters, digits and -._~");
        }
        let mut names: Vec<_> = self.parameters().collect();
        names.sort_unstable();
        let named_twice = names.windows(2).any(|pair| pair[0] == pair[1]);
        named_twice.then_some("two parameters have the same name")
    }
}

impl fmt::Display for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb.as_str(), self.path)
    }
}

impl Verb {
    /// Its name, such as `GET`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    pub(crate) const fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
            Self::Patch => Method::PATCH,
            Self::Delete => Method::DELETE,
        }
    }
}

pub(super) fn parameters(path: &'static str) -> impl Iterator<Item = &'static str> {
    path.split('/').filter_map(parameter)
}

fn parameter(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

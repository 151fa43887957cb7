//! What a gateway is measured by: an origin, proxies in front of it, and the load. Each is a process of its own, so that its
//! CPU time and memory are its own.

mod broken;
mod hyper_bare;
pub(crate) mod load;
pub(crate) mod open_files;
mod origin;
mod role;
mod sap_comm;
mod usage;
mod workers;

pub(crate) use load::{Load, Pace};
pub use role::{Part, Role, Setup};
pub(crate) use usage::Tree;

/// What is asked for: some 100 bytes of JSON.
pub(crate) const ITEM: &str = "/api/item";
/// A route whose upstream takes requests and never answers.
pub(crate) const BROKEN: &str = "/broken/item";
/// The name of that upstream as a service.
pub(crate) const BROKEN_SERVICE: &str = "broken";
/// Followed by how many bytes are streamed.
pub(crate) const STREAM: &str = "/api/stream/";
/// What takes a body, and answers how many bytes it had.
pub(crate) const UPLOAD: &str = "/api/upload";
/// The name of the origin as a service.
pub(crate) const SERVICE: &str = "origin";
/// Where the origin publishes the key that the tokens are signed with.
pub(crate) const JWKS: &str = "/.well-known/jwks.json";
/// Who signs the tokens, and for whom.
pub(crate) const ISSUER: &str = "auth-service";
/// See [`ISSUER`].
pub(crate) const AUDIENCE: &str = "gateway";
/// The role that the policies demand.
pub(crate) const MEMBER: &str = "member";
/// Workers of every proxy, where it has workers.
pub(crate) const WORKERS: usize = 2;

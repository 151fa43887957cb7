//! Finds the instances of a service and chooses among them.
//!
//! A [`Resolver`](sap_comm_core::Resolver) says which endpoints a service has; a [`Balancer`] watches it and picks one
//! endpoint for each call. Start with [`resolver_from_url`].
//!
//! ```
//! use sap_comm_discovery::{Balancer, BalancerConfig, Outcome, resolver_from_url};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let resolver = resolver_from_url("static:user-service=http://127.0.0.1:8081,http://127.0.0.1:8082")?;
//! let balancer = Balancer::new(resolver, "user-service", BalancerConfig::default());
//! balancer.ready().await?;
//!
//! let picked = balancer.pick()?;
//! println!("calling {}", picked.endpoint());
//! picked.report(Outcome::Success(picked.elapsed()));
//! # Ok(())
//! # }
//! ```

mod balancer;
#[cfg(feature = "dns")]
mod dns;
#[cfg(feature = "etcd")]
mod etcd;
mod fallback;
mod from_url;
#[cfg(any(feature = "dns", feature = "etcd"))]
mod pace;

pub use balancer::{
    Balancer, BalancerConfig, BalancerConfigBuilder, BalancerSnapshot, EndpointSnapshot, Outcome, PickError, Picked,
    ResolutionStatus,
};
#[cfg(feature = "dns")]
pub use dns::{DnsError, DnsResolver, DnsResolverBuilder};
#[cfg(feature = "etcd")]
pub use etcd::{Etcd, EtcdBuilder, EtcdError};
pub use fallback::FallbackResolver;
pub use from_url::{Discovery, ResolverUrlError, discovery_from_url, resolver_from_url};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

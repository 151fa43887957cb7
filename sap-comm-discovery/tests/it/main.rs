//! Behaviour of discovery, seen from outside.

#[cfg(feature = "dns")]
mod bind;
mod choice;
#[cfg(feature = "dns")]
mod dns;
mod ejection;
#[cfg(feature = "etcd")]
mod etcd;
mod resolution;
mod script;
#[cfg(any(feature = "dns", feature = "etcd"))]
mod watching;

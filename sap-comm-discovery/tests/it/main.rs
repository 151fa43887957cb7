//! Behaviour of discovery, seen from outside.

#[cfg(feature = "dns")]
mod bind;
mod choice;
#[cfg(feature = "dns")]
mod dns;
mod ejection;
mod resolution;
mod script;

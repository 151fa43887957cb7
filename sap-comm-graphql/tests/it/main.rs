//! The gateway as HTTP clients meet it.

mod audit;
mod errors;
mod guard;
mod harness;
mod http;
mod production;
mod scope;

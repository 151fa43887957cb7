//! Behaviour of discovery, seen from outside.

mod choice;
mod ejection;
mod resolution;
mod script;

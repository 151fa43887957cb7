//! Behaviour of the strategies, one module each.

mod specification;

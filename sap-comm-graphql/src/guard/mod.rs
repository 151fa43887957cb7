//! What is measured before a query is executed, in an order in which each step bounds the next.
//!
//! Bytes, tokens and nesting are counted before the query is parsed; then fields are counted as the executor would meet
//! them, fragments spread, but each fragment is measured once, so that the measuring itself is linear.

mod cost;
mod limits;
mod measure;
mod tokens;
mod variables;

use async_graphql::{
    Variables,
    parser::{parse_query, types::ExecutableDocument},
};
use sap_comm_core::{ApiError, ErrorCode};

pub use self::limits::GuardLimits;
use self::measure::Measure;

/// A query that stays within the limits.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) document: ExecutableDocument,
    /// Whether it asks for the schema.
    pub(crate) introspects: bool,
}

/// Parses and measures a query.
///
/// # Errors
/// The limit that is exceeded, the cycle of fragments, or the place of the syntax error.
pub(crate) fn check(limits: &GuardLimits, query: &str, variables: &Variables) -> Result<Checked, Refused> {
    tokens::check(limits, query)?;
    variables::check(limits, variables)?;
    let document = parse_query(query).map_err(|error| Refused::Syntax(Box::new(error)))?;
    let introspects = Measure::new(limits, &document, variables).check()?;
    Ok(Checked { document, introspects })
}

/// Why a query is not executed.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It is not GraphQL.
    Syntax(Box<async_graphql::parser::Error>),
    /// It costs too much, or its fragments form a cycle.
    Guard(ApiError),
}

impl Refused {
    /// Over a limit.
    fn over(limit: &'static str, max: usize) -> Self {
        Self::Guard(
            ApiError::new(ErrorCode::BAD_REQUEST, format!("The query is over the limit {limit} of {max}"))
                .detail("limit", limit)
                .detail("max", max),
        )
    }
}

fn within(value: usize, limit: &'static str, max: usize) -> Result<(), Refused> {
    if value > max { Err(Refused::over(limit, max)) } else { Ok(()) }
}

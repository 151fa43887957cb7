use std::panic::AssertUnwindSafe;

use async_graphql::{
    Request, Response, ServerError, Variables,
    parser::types::{ExecutableDocument, OperationType},
};
use futures_util::FutureExt;
use http::{HeaderMap, Method};
use sap_comm_core::{ApiError, Context, ErrorCode, auth::AuthError};
use tokio::time::timeout;
use tracing::Instrument;

use crate::{
    RequestScope, absent,
    complete::Completion,
    error::{self, GraphqlError},
    gateway::Parts,
    guard::{self, Refused},
};

/// What a caller asks for.
#[derive(Debug)]
pub(crate) struct Params {
    pub(crate) query: String,
    pub(crate) operation: Option<String>,
    pub(crate) variables: Variables,
    pub(crate) extensions: async_graphql::Extensions,
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It was executed; fields may have failed.
    Executed {
        data: async_graphql::Value,
        errors: Vec<GraphqlError>,
        extensions: serde_json::Map<String, serde_json::Value>,
    },
    /// The query is at fault, and nothing was executed.
    Invalid(Vec<GraphqlError>),
    /// The request is at fault, or we are; nothing else can be said.
    Refused(ApiError),
}

/// Errors that one response shows; a query can have as many as it has fields.
const MAX_ERRORS: usize = 100;

/// Authenticates, checks and executes a request, in the context of its own.
pub(crate) async fn run(
    parts: &Parts,
    method: &Method,
    headers: &HeaderMap,
    params: Params,
    context: Context,
) -> Outcome {
    let context = match authenticate(parts, headers, context).await {
        Ok(context) => context.with_timeout(parts.options.timeout),
        Err(error) => return Outcome::Refused(error),
    };
    let span = tracing::info_span!(
        "graphql",
        trace_id = %context.trace().trace_id(),
        request_id = %context.request_id(),
        correlation_id = %context.correlation_id(),
        user.id = context.principal().map(|principal| principal.id.as_str()),
        graphql.operation.name = params.operation.as_deref(),
        graphql.operation.type = tracing::field::Empty,
    );
    context.clone().scope(checked(parts, method, headers, params, &context).instrument(span)).await
}

async fn authenticate(parts: &Parts, headers: &HeaderMap, context: Context) -> Result<Context, ApiError> {
    let Some(authenticate) = &parts.authenticate else { return Ok(context) };
    match context.clone().scope(authenticate.authenticate(headers)).await? {
        Some(principal) => Ok(context.with_principal(principal)),
        // What resolvers ask of others, they do not ask for the service itself.
        None if parts.anonymous => Ok(context.for_nobody()),
        None => Err(AuthError::Missing.into()),
    }
}

async fn checked(parts: &Parts, method: &Method, headers: &HeaderMap, params: Params, context: &Context) -> Outcome {
    let Params { query, operation, mut variables, extensions } = params;
    let options = &parts.options;
    let checked = match guard::check(&options.guard, &query, &variables) {
        Ok(checked) => checked,
        Err(refused) => return invalid(refused, context),
    };
    if checked.introspects && !options.introspection {
        let error = ApiError::new(ErrorCode::FORBIDDEN, "The schema cannot be asked for");
        return Outcome::Invalid(vec![GraphqlError::of(&error, context)]);
    }
    let mut document = checked.document;
    match absent::selected(&document.operations, operation.as_deref()).map(|operation| operation.ty) {
        Some(OperationType::Query) => {}
        Some(OperationType::Mutation) if *method == Method::POST => {}
        Some(OperationType::Mutation) => {
            return Outcome::Refused(ApiError::new(ErrorCode::METHOD_NOT_ALLOWED, "Mutations must be sent with POST"));
        }
        Some(OperationType::Subscription) => {
            let error = ApiError::new(ErrorCode::BAD_REQUEST, "Subscriptions are not served over HTTP");
            return Outcome::Invalid(vec![GraphqlError::of(&error, context)]);
        }
        None => {
            let error = ApiError::new(ErrorCode::BAD_REQUEST, "operationName must name one of the operations");
            return Outcome::Invalid(vec![GraphqlError::of(&error, context)]);
        }
    }
    absent::fill_defaults(&document, operation.as_deref(), &mut variables);
    absent::leave_out(&mut document, operation.as_deref(), &variables);
    let mut request = Request::new(query).variables(variables.clone());
    request.operation_name.clone_from(&operation);
    request.extensions = extensions;
    request.set_parsed_query(document.clone());
    match execute(parts, headers, request, context).await {
        Ok(response) => outcome(parts, response, &document, operation.as_deref(), &variables, context),
        Err(error) => Outcome::Refused(error),
    }
}

async fn execute(
    parts: &Parts,
    headers: &HeaderMap,
    request: Request,
    context: &Context,
) -> Result<Response, ApiError> {
    // Dropped after the execution, which must not outlive its loaders.
    let (scope, _ended) = RequestScope::new(context.clone(), headers);
    let request = parts.prepare.iter().fold(request.data(scope.clone()), |request, prepare| prepare(&scope, request));
    let execution = AssertUnwindSafe((parts.execute)(request)).catch_unwind();
    match timeout(context.remaining().unwrap_or(parts.options.timeout), execution).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(_)) => {
            tracing::error!("a resolver panicked");
            Err(ApiError::internal("a resolver panicked"))
        }
        Err(_) => Err(ApiError::new(ErrorCode::DEADLINE_EXCEEDED, "The query took too long")),
    }
}

fn outcome(
    parts: &Parts,
    response: Response,
    document: &ExecutableDocument,
    operation: Option<&str>,
    variables: &Variables,
    context: &Context,
) -> Outcome {
    let Response { data, errors, extensions, .. } = response;
    // Only what is wrong with the query itself has no path.
    let invalid = !errors.is_empty() && errors.iter().all(|error| error.path.is_empty());
    tracing::info!(errors = errors.len(), invalid, "query answered");
    let seen = |errors: Vec<ServerError>| {
        let shown = errors.into_iter().take(MAX_ERRORS);
        shown.map(|error| error::map(error, parts.options.suggestions, context)).collect()
    };
    if invalid {
        return Outcome::Invalid(seen(errors));
    }
    let completion = Completion { types: &parts.types, document, operation, variables, errors: &errors };
    let data = completion.complete(data);
    let extensions = extensions.into_iter().filter_map(|(name, value)| Some((name, value.into_json().ok()?))).collect();
    Outcome::Executed { data, errors: seen(errors), extensions }
}

fn invalid(refused: Refused, context: &Context) -> Outcome {
    let error = match refused {
        Refused::Guard(error) => GraphqlError::of(&error, context),
        Refused::Syntax(error) => {
            let api = ApiError::new(ErrorCode::BAD_REQUEST, error.to_string());
            GraphqlError::of(&api, context).at(error.positions().collect(), Vec::new())
        }
    };
    tracing::info!(?error, "query refused");
    Outcome::Invalid(vec![error])
}

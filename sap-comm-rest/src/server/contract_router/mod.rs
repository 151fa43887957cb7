//! Serves the operations of a contract.

mod admit;
mod handler;

use std::{fmt, sync::Arc};

use axum::{
    Router,
    extract::Request,
    middleware::from_fn,
    routing::{MethodFilter, MethodRouter, on},
};
use sap_comm_core::config::ConfigError;

pub use handler::Handler;

use admit::{Admission, admit};

use super::{
    auth::{Authenticator, authenticate},
    idempotency::{Idempotency as CarryOut, IdempotencyConfig, IdempotencyStore, carry_out},
};
use crate::{
    gateway::Access,
    operation::{Contract, Definition, Idempotency, Operation, Verb},
};

/// Serves all operations of a [`Contract`], each by a handler whose types fit it, to those who may call it.
///
/// ```
/// use sap_comm_core::{ApiError, config::ConfigError};
/// use sap_comm_rest::{
///     operation::{Contract, Operation, ResourceId},
///     server::{ContractRouter, Json, Path, docs},
/// };
///
/// const GREET: Operation<(Path<ResourceId>,), Json<String>> = Operation::get("/api/v1/greetings/{name}").public();
/// const GREETER: Contract = Contract::new("greeter", &[GREET.definition()]);
///
/// async fn greet(Path(name): Path<ResourceId>) -> Result<Json<String>, ApiError> {
///     Ok(Json(format!("Hello {name}")))
/// }
///
/// fn routes() -> Result<axum::Router, ConfigError> {
///     Ok(ContractRouter::new(&GREETER).serve(GREET, greet).build(())?.merge(docs(GREETER.openapi())))
/// }
/// # routes().unwrap();
/// ```
#[must_use = "nothing is served before `build`"]
pub struct ContractRouter<S = ()> {
    contract: Contract,
    served: Vec<(Definition, MethodRouter<S>)>,
    authenticator: Option<Authenticator>,
    idempotency: Option<(Arc<dyn IdempotencyStore>, IdempotencyConfig)>,
}

impl<S: Clone + Send + Sync + 'static> ContractRouter<S> {
    /// Begins with no operation served.
    pub fn new(contract: &Contract) -> Self {
        Self { contract: *contract, served: Vec::new(), authenticator: None, idempotency: None }
    }

    /// Verifies the callers of operations that are not public.
    pub fn authenticate(mut self, authenticator: impl Into<Authenticator>) -> Self {
        self.authenticator = Some(authenticator.into());
        self
    }

    /// Keeps the answers of operations that take an idempotency key in `store`, with the defaults of
    /// [`IdempotencyConfig`].
    pub fn idempotency(self, store: Arc<dyn IdempotencyStore>) -> Self {
        self.idempotency_with(store, IdempotencyConfig::default())
    }

    /// Keeps the answers of operations that take an idempotency key in `store`.
    pub fn idempotency_with(mut self, store: Arc<dyn IdempotencyStore>, config: IdempotencyConfig) -> Self {
        self.idempotency = Some((store, config));
        self
    }

    /// Serves an operation by a handler that takes and answers what its definition says; an error is anything that becomes an
    /// `ApiError`.
    ///
    /// ```
    /// # use sap_comm_core::ApiError;
    /// # use sap_comm_rest::{operation::{Contract, Operation, ResourceId}, server::{ContractRouter, Json, Path}};
    /// # const GREET: Operation<(Path<ResourceId>,), Json<String>> = Operation::get("/greetings/{name}").public();
    /// # const GREETER: Contract = Contract::new("greeter", &[GREET.definition()]);
    /// async fn greet(Path(name): Path<ResourceId>) -> Result<Json<String>, ApiError> {
    ///     Ok(Json(format!("Hello {name}")))
    /// }
    /// let router: ContractRouter = ContractRouter::new(&GREETER).serve(GREET, greet);
    /// ```
    ///
    /// One with another output, another error or another input does not compile:
    ///
    /// ```compile_fail,E0277
    /// # use sap_comm_core::ApiError;
    /// # use sap_comm_rest::{operation::{Contract, Operation, ResourceId}, server::{ContractRouter, Json, Path}};
    /// # const GREET: Operation<(Path<ResourceId>,), Json<String>> = Operation::get("/greetings/{name}").public();
    /// # const GREETER: Contract = Contract::new("greeter", &[GREET.definition()]);
    /// async fn greet(Path(name): Path<ResourceId>) -> Result<Json<u64>, ApiError> {
    ///     Ok(Json(name.len() as u64))
    /// }
    /// let router: ContractRouter = ContractRouter::new(&GREETER).serve(GREET, greet);
    /// ```
    ///
    /// ```compile_fail,E0277
    /// # use sap_comm_rest::{operation::{Contract, Operation, ResourceId}, server::{ContractRouter, Json, Path}};
    /// # const GREET: Operation<(Path<ResourceId>,), Json<String>> = Operation::get("/greetings/{name}").public();
    /// # const GREETER: Contract = Contract::new("greeter", &[GREET.definition()]);
    /// async fn greet(Path(name): Path<ResourceId>) -> Result<Json<String>, std::fmt::Error> {
    ///     Ok(Json(format!("Hello {name}")))
    /// }
    /// let router: ContractRouter = ContractRouter::new(&GREETER).serve(GREET, greet);
    /// ```
    ///
    /// ```compile_fail,E0277
    /// # use sap_comm_core::ApiError;
    /// # use sap_comm_rest::{operation::{Contract, Operation, ResourceId}, server::{ContractRouter, Json, Path}};
    /// # const GREET: Operation<(Path<ResourceId>,), Json<String>> = Operation::get("/greetings/{name}").public();
    /// # const GREETER: Contract = Contract::new("greeter", &[GREET.definition()]);
    /// async fn greet(Json(name): Json<String>) -> Result<Json<String>, ApiError> {
    ///     Ok(Json(format!("Hello {name}")))
    /// }
    /// let router: ContractRouter = ContractRouter::new(&GREETER).serve(GREET, greet);
    /// ```
    pub fn serve<I, O, E, M, H>(mut self, operation: Operation<I, O, E>, handler: H) -> Self
    where
        H: Handler<I, O, S, M>,
        I: 'static,
        O: 'static,
        M: 'static,
    {
        let definition = operation.definition();
        let handle = move |axum::extract::State(state): axum::extract::State<S>, request: Request| {
            let handler = handler.clone();
            async move { handler.handle(request, state).await }
        };
        self.served.push((definition, on(filter(definition.verb), handle)));
        self
    }

    /// Builds the routes.
    ///
    /// # Errors
    /// Names an operation of the contract that nothing serves, one that is served twice or not in the contract, what is
    /// wrong with the contract, and an authenticator or a store of idempotency keys that is missing.
    pub fn build(self, state: S) -> Result<Router, ConfigError> {
        self.contract.validate()?;
        let refused = |operation: &Definition, reason: &str| {
            Err(ConfigError::refused("operations", format_args!("{operation}"), reason))
        };
        let is = |a: &Definition, b: &Definition| a.verb == b.verb && a.path == b.path;
        for operation in self.contract.operations() {
            match self.served.iter().filter(|(served, _)| is(served, operation)).count() {
                0 => return refused(operation, "is in the contract, and no handler serves it"),
                1 => {}
                _ => return refused(operation, "is served by two handlers"),
            }
            if operation.access == Access::Authenticated && self.authenticator.is_none() {
                return refused(operation, "needs `.authenticate(…)`, or `.public()` in its definition");
            }
        }
        let idempotency = match self.idempotency {
            Some((store, config)) => {
                config.validate()?;
                Some(Arc::new(CarryOut { store, config }))
            }
            None => None,
        };
        let mut router = Router::new();
        for (operation, method) in self.served {
            if !self.contract.operations().iter().any(|declared| is(declared, &operation)) {
                return refused(&operation, "is served, and not in the contract");
            }
            let mut method = method;
            // The last layer sees a request first: who it is from comes before what they may, and that before what is kept.
            if operation.idempotency != Idempotency::None {
                let Some(idempotency) = idempotency.clone() else {
                    return refused(&operation, "takes an idempotency key, and `.idempotency(…)` is missing");
                };
                let required = operation.idempotency == Idempotency::Required;
                method = method
                    .route_layer(from_fn(move |request, next| carry_out(idempotency.clone(), required, request, next)));
            }
            let admission = Arc::new(Admission::new(operation));
            method = method.route_layer(from_fn(move |request, next| admit(admission.clone(), request, next)));
            if let (Access::Authenticated, Some(authenticator)) = (operation.access, &self.authenticator) {
                method = method.route_layer(authenticate(authenticator.clone()));
            }
            router = router.route(operation.path, method);
        }
        Ok(router.with_state(state))
    }
}

fn filter(verb: Verb) -> MethodFilter {
    match verb {
        Verb::Get => MethodFilter::GET,
        Verb::Post => MethodFilter::POST,
        Verb::Put => MethodFilter::PUT,
        Verb::Patch => MethodFilter::PATCH,
        Verb::Delete => MethodFilter::DELETE,
    }
}

impl<S> fmt::Debug for ContractRouter<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContractRouter").field("contract", &self.contract).finish_non_exhaustive()
    }
}

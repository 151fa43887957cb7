use http::{Method, StatusCode};
use sap_comm_core::{ApiError, Secret};
use sap_comm_rest::{
    client::{Call, Client, ClientError, RequestBuilder},
    operation::{Arguments, ErrorCodes, Input, Operation, Output},
};
use serde::de::DeserializeOwned;

use crate::RequestScope;

/// One service as a data source of one request: its calls carry the caller's token, and the request's context.
///
/// ```no_run
/// use sap_comm_core::ApiError;
/// use sap_comm_graphql::RestDataSource;
///
/// #[derive(serde::Deserialize)]
/// struct User {
///     email: String,
/// }
///
/// async fn user(users: &RestDataSource, id: &str) -> Result<Option<User>, ApiError> {
///     users.find("/api/v1/users/{}", [id]).await
/// }
/// ```
#[derive(Debug, Clone)]
pub struct RestDataSource {
    client: Client,
    token: Option<Secret<String>>,
}

impl RestDataSource {
    /// A source for the request of `scope`.
    #[must_use]
    pub fn new(client: Client, scope: &RequestScope) -> Self {
        Self { client, token: scope.token().cloned() }
    }

    /// Begins the call of an operation; see [`Client::call`].
    pub fn call<I, O, E>(&self, operation: &Operation<I, O, E>, arguments: impl Arguments<I>) -> Call<O, E>
    where
        I: Input,
        O: Output,
        E: ErrorCodes,
    {
        let call = self.client.call(operation, arguments);
        match &self.token {
            Some(token) => call.bearer(token),
            None => call,
        }
    }

    /// Begins a GET; see [`Client::get`].
    pub fn get<const N: usize>(&self, template: &str, parameters: [&str; N]) -> RequestBuilder {
        self.request(Method::GET, template, parameters)
    }

    /// Begins a POST; see [`Client::get`].
    pub fn post<const N: usize>(&self, template: &str, parameters: [&str; N]) -> RequestBuilder {
        self.request(Method::POST, template, parameters)
    }

    /// Begins a PUT; see [`Client::get`].
    pub fn put<const N: usize>(&self, template: &str, parameters: [&str; N]) -> RequestBuilder {
        self.request(Method::PUT, template, parameters)
    }

    /// Begins a PATCH; see [`Client::get`].
    pub fn patch<const N: usize>(&self, template: &str, parameters: [&str; N]) -> RequestBuilder {
        self.request(Method::PATCH, template, parameters)
    }

    /// Begins a DELETE; see [`Client::get`].
    pub fn delete<const N: usize>(&self, template: &str, parameters: [&str; N]) -> RequestBuilder {
        self.request(Method::DELETE, template, parameters)
    }

    /// Begins a request of any method; see [`Client::get`].
    pub fn request<const N: usize>(&self, method: Method, template: &str, parameters: [&str; N]) -> RequestBuilder {
        let request = self.client.request(method, template, parameters);
        match &self.token {
            Some(token) => request.bearer(token),
            None => request,
        }
    }

    /// GETs one thing; `None` when the service says 404, as for an id that no path can hold.
    ///
    /// # Errors
    /// Every other failure of the call.
    pub async fn find<T: DeserializeOwned, const N: usize>(
        &self,
        template: &str,
        parameters: [&str; N],
    ) -> Result<Option<T>, ApiError> {
        if parameters.iter().any(|parameter| matches!(*parameter, "" | "." | "..")) {
            return Ok(None);
        }
        match self.get(template, parameters).fetch().await {
            Ok(found) => Ok(Some(found)),
            Err(ClientError::Api(error)) if error.status() == StatusCode::NOT_FOUND => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

use std::{fmt, future::IntoFuture, marker::PhantomData, ops::Deref, time::Duration};

use futures_util::future::BoxFuture;
use http::{HeaderMap, StatusCode, header};
use sap_comm_core::{ApiError, Secret, id};

use super::{Client, ClientError, RequestBuilder, Response};
use crate::conditional::EntityTag;
use crate::operation::{Arguments, ErrorCodes, Idempotency, Input, Operation, Output, RequestParts};

/// A call of an [`Operation`], made when it is awaited.
#[must_use = "nothing is sent before it is awaited"]
pub struct Call<O, E> {
    request: RequestBuilder,
    types: PhantomData<fn() -> Result<O, E>>,
}

/// Why the call of an [`Operation`] failed.
///
/// Becomes an `ApiError` with `?`, as a [`ClientError`] does.
#[derive(Debug, thiserror::Error)]
pub enum CallError<E: ErrorCodes> {
    /// The service answered with an error that the operation declares.
    #[error("the service answered {}: {error}", .error.status().as_u16())]
    Declared {
        /// Which one.
        code: E,
        /// With its message and details.
        #[source]
        error: ApiError,
    },
    /// Every other failure.
    #[error(transparent)]
    Other(ClientError),
}

/// What a service answered, with its headers.
#[derive(Debug, Clone)]
pub struct Answer<T> {
    value: T,
    headers: HeaderMap,
}

impl Client {
    /// Begins the call of an operation of this service.
    ///
    /// ```no_run
    /// use sap_comm_rest::{
    ///     client::{CallError, Client},
    ///     error_codes,
    ///     operation::{Operation, ResourceId},
    ///     server::{Json, Path},
    /// };
    ///
    /// error_codes! {
    ///     /// Why the user service refuses.
    ///     pub enum UserError {
    ///         /// There is no such user.
    ///         NotFound = "USER_NOT_FOUND",
    ///     }
    /// }
    ///
    /// #[derive(serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
    /// struct User {
    ///     email: String,
    /// }
    ///
    /// const GET_USER: Operation<(Path<ResourceId>,), Json<User>, UserError> =
    ///     Operation::get("/api/v1/users/{id}").errors(&[UserError::NotFound]);
    ///
    /// # async fn run(client: Client) -> Result<(), Box<dyn std::error::Error>> {
    /// match client.call(&GET_USER, ("usr_1",)).await {
    ///     Ok(user) => println!("{}", user.email),
    ///     Err(CallError::Declared { code: UserError::NotFound, .. }) => println!("nobody"),
    ///     Err(error) => return Err(error.into()),
    /// }
    /// # Ok(()) }
    /// ```
    pub fn call<I, O, E>(&self, operation: &Operation<I, O, E>, arguments: impl Arguments<I>) -> Call<O, E>
    where
        I: Input,
        O: Output,
        E: ErrorCodes,
    {
        let definition = operation.definition();
        let mut parts = RequestParts::new(self.request(definition.method(), "/", []));
        if definition.idempotency != Idempotency::None {
            // One key for all attempts: however many arrive, one is carried out.
            parts.change(|request| request.idempotency_key(&id::prefixed("idk")));
        }
        arguments.fill(&mut parts);
        Call { request: parts.finish(&definition.shape()), types: PhantomData }
    }
}

impl<O, E> Call<O, E> {
    pub(super) fn into_request(self) -> RequestBuilder {
        self.request
    }
}

impl<O: Output, E: ErrorCodes> Call<O, E> {
    /// Changes the request, for what no method here does.
    pub fn request(mut self, change: impl FnOnce(RequestBuilder) -> RequestBuilder) -> Self {
        self.request = change(self.request);
        self
    }

    /// Calls with a user's token, so that the service can verify it itself.
    pub fn bearer(self, token: &Secret<String>) -> Self {
        self.request(|request| request.bearer(token))
    }

    /// Calls with this idempotency key, so that a later call with it gets the answer of this one.
    pub fn idempotency_key(self, key: &str) -> Self {
        self.request(|request| request.idempotency_key(key))
    }

    /// How long one attempt may take.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.request(|request| request.timeout(timeout))
    }

    /// Makes the call only if the thing is in this version still; else it is `PRECONDITION_FAILED`.
    pub fn if_match(self, tag: &EntityTag) -> Self {
        self.request(|request| request.header(header::IF_MATCH.as_str(), &tag.to_string()))
    }

    /// Makes the call, and gives the answer unless it is the version that the caller has.
    ///
    /// # Errors
    /// As [`Call::answer`].
    pub async fn if_changed(self, tag: &EntityTag) -> Result<Option<Answer<O::Value>>, CallError<E>> {
        let call = self.request(|request| request.header(header::IF_NONE_MATCH.as_str(), &tag.to_string()));
        let response = call.request.respond(O::WHOLE).await?;
        if response.status() == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        Ok(Some(Answer::read::<O>(response).await?))
    }

    /// Makes the call, and gives the answer with its headers.
    ///
    /// Dropping the future gives the call up; the service may have carried it out.
    ///
    /// # Errors
    /// When there is no answer, it is an error, or it cannot be read.
    pub async fn answer(self) -> Result<Answer<O::Value>, CallError<E>> {
        Ok(Answer::read::<O>(self.request.respond(O::WHOLE).await?).await?)
    }
}

impl<O: Output, E: ErrorCodes> IntoFuture for Call<O, E> {
    type Output = Result<O::Value, CallError<E>>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { Ok(self.answer().await?.value) })
    }
}

impl<T> Answer<T> {
    async fn read<O: Output<Value = T>>(response: Response) -> Result<Self, ClientError> {
        let headers = response.headers().clone();
        Ok(Self { value: O::read(response).await?, headers })
    }

    /// The version of what was answered, where the service says it.
    #[must_use]
    pub fn etag(&self) -> Option<EntityTag> {
        self.headers.get(header::ETAG)?.to_str().ok()?.parse().ok()
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// What was answered, without the headers.
    #[must_use]
    pub fn into_value(self) -> T {
        self.value
    }
}

impl<T> Deref for Answer<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<E: ErrorCodes> CallError<E> {
    /// The code, when it is one that the operation declares.
    #[must_use]
    pub fn code(&self) -> Option<E> {
        match self {
            Self::Declared { code, .. } => Some(*code),
            Self::Other(_) => None,
        }
    }
}

impl<E: ErrorCodes> From<ClientError> for CallError<E> {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Api(error) => match E::from_code(error.code().as_str()) {
                Some(code) => Self::Declared { code, error },
                None => Self::Other(ClientError::Api(error)),
            },
            error => Self::Other(error),
        }
    }
}

impl<E: ErrorCodes> From<CallError<E>> for ApiError {
    fn from(error: CallError<E>) -> Self {
        match error {
            CallError::Declared { error, .. } => error,
            CallError::Other(error) => error.into(),
        }
    }
}

impl<O, E> fmt::Debug for Call<O, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("request", &self.request).finish()
    }
}

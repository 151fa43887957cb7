use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use async_graphql::{
    ComplexObject, EmptySubscription, Object, Result, Schema, SimpleObject,
    dataloader::{DataLoader, HashMapCache, Loader},
};
use axum::{Router, body::Body};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use sap_comm_core::{ApiError, Context};
use sap_comm_graphql::{GraphqlGateway, GraphqlGatewayBuilder, RequestScope};
use serde_json::{Value, json};
use tower::ServiceExt;

/// What the loader was asked: the keys of each batch, and the trace that it ran in.
pub(crate) type Batches = Arc<Mutex<Vec<(Vec<String>, String)>>>;

pub(crate) struct Names(Batches);

impl Loader<String> for Names {
    type Value = String;
    type Error = ApiError;

    async fn load(&self, keys: &[String]) -> Result<HashMap<String, String>, ApiError> {
        let mut sorted = keys.to_vec();
        sorted.sort();
        self.0.lock().unwrap().push((sorted, Context::current().trace().trace_id()));
        Ok(keys.iter().map(|key| (key.clone(), format!("name of {key}"))).collect())
    }
}

#[derive(SimpleObject)]
#[graphql(complex)]
pub(crate) struct User {
    id: String,
}

#[ComplexObject]
impl User {
    async fn name(&self, ctx: &async_graphql::Context<'_>) -> Result<Option<String>> {
        Ok(ctx.data::<DataLoader<Names, HashMapCache>>()?.load_one(self.id.clone()).await?)
    }

    async fn friend(&self) -> Self {
        Self { id: format!("{}f", self.id) }
    }
}

pub(crate) struct Query;

#[Object]
impl Query {
    async fn users(&self, #[graphql(default = 2)] limit: usize) -> Vec<User> {
        (0..limit.min(10)).map(|index| User { id: format!("u{index}") }).collect()
    }

    async fn user(&self, id: String) -> Result<Option<User>> {
        match id.as_str() {
            "missing" => Err(ApiError::not_found("user", &id).into()),
            "broken" => Err(std::io::Error::other("hunter2").into()),
            "panic" => panic!("hunter2"),
            "slow" => std::future::pending().await,
            _ => Ok(Some(User { id })),
        }
    }

    async fn whoami(&self, ctx: &async_graphql::Context<'_>) -> Result<String> {
        let scope = ctx.data::<RequestScope>()?;
        let principal = scope.principal().map_or("nobody", |principal| principal.id.as_str());
        Ok(format!("{principal} {}", scope.token().map_or("without token", |token| token.expose().as_str())))
    }
}

pub(crate) struct Mutation;

#[Object]
impl Mutation {
    async fn touch(&self) -> bool {
        true
    }
}

pub(crate) struct App {
    pub(crate) router: Router,
    pub(crate) batches: Batches,
}

impl App {
    pub(crate) fn new() -> Self {
        Self::with(|builder| builder)
    }

    pub(crate) fn with(change: impl FnOnce(GraphqlGatewayBuilder) -> GraphqlGatewayBuilder) -> Self {
        let batches = Batches::default();
        let shared = Arc::clone(&batches);
        let builder = GraphqlGateway::builder(Schema::new(Query, Mutation, EmptySubscription))
            .per_request(move |scope, request| request.data(scope.loader(Names(Arc::clone(&shared)))));
        Self { router: change(builder).build().unwrap().into_router(), batches }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.into()).unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_str(&text).unwrap_or_default(),
            text,
        }
    }

    /// A POST that accepts the new media type.
    pub(crate) async fn post(&self, body: &Value) -> Answer {
        self.send(post(body.to_string())).await
    }

    pub(crate) async fn query(&self, query: &str) -> Answer {
        self.post(&json!({ "query": query })).await
    }
}

pub(crate) fn post(body: impl Into<Body>) -> Request<Body> {
    Request::post("/graphql")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/graphql-response+json")
        .body(body.into())
        .unwrap()
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Answer {
    /// The code of the first error.
    pub(crate) fn code(&self) -> &str {
        self.body["errors"][0]["extensions"]["code"].as_str().unwrap_or_else(|| panic!("no code in {self:?}"))
    }

    /// The limit that the guard names.
    pub(crate) fn limit(&self) -> &str {
        assert_eq!((self.status, self.code()), (StatusCode::BAD_REQUEST, "BAD_REQUEST"), "{self:?}");
        assert!(self.body.get("data").is_none(), "{self:?}");
        self.body["errors"][0]["extensions"]["details"]["limit"]
            .as_str()
            .unwrap_or_else(|| panic!("no limit in {self:?}"))
    }
}

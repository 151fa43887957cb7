use async_graphql::{
    EmptySubscription, Interface, Object, Result, Schema, SimpleObject, Variables, parser::parse_query,
};
use sap_comm_core::ApiError;
use serde_json::{Value, json};

use super::{Completion, Types};

struct Node;

#[Object]
impl Node {
    async fn id(&self) -> i32 {
        tokio::task::yield_now().await;
        1
    }

    async fn nullable(&self) -> Result<Option<i32>> {
        Err(ApiError::not_found("thing", "1").into())
    }

    async fn required(&self) -> Result<i32> {
        Err(ApiError::not_found("thing", "1").into())
    }

    async fn child(&self) -> Option<Self> {
        Some(Self)
    }

    async fn strict(&self) -> Self {
        Self
    }

    async fn list(&self) -> Vec<Option<Self>> {
        vec![Some(Self), None, Some(Self)]
    }

    async fn named(&self) -> Named {
        Named::Cat(Cat { name: "Tom".into(), lives: 9 })
    }
}

#[derive(SimpleObject)]
struct Cat {
    name: String,
    lives: i32,
}

#[derive(Interface)]
#[graphql(field(name = "name", ty = "&String"))]
enum Named {
    Cat(Cat),
}

struct Query;

#[Object]
impl Query {
    async fn node(&self) -> Option<Node> {
        Some(Node)
    }

    async fn root(&self) -> Node {
        Node
    }
}

async fn run(query: &str) -> Value {
    serde_json::from_str(&written(query).await).unwrap()
}

/// The data as it is written, in its order.
async fn written(query: &str) -> String {
    let schema = Schema::new(Query, async_graphql::EmptyMutation, EmptySubscription);
    let response = schema.execute(query).await;
    let document = parse_query(query).unwrap();
    let completion = Completion {
        types: &Types::from_sdl(&schema.sdl()).unwrap(),
        document: &document,
        operation: None,
        variables: &Variables::default(),
        errors: &response.errors,
    };
    serde_json::to_string(&completion.complete(response.data)).unwrap()
}

#[tokio::test]
async fn fields_come_in_the_order_of_the_query() {
    let query = "{ node { id ...F __typename b: id } } fragment F on Node { a: __typename child { id } }";
    assert_eq!(written(query).await, r#"{"node":{"id":1,"a":"Node","child":{"id":1},"__typename":"Node","b":1}}"#);
}

#[tokio::test]
async fn a_nullable_field_that_failed_is_null() {
    assert_eq!(run("{ node { nullable id } }").await, json!({"node": {"nullable": null, "id": 1}}));
    assert_eq!(run("{ node { nullable } }").await, json!({"node": {"nullable": null}}));
}

#[tokio::test]
async fn a_required_field_that_failed_makes_null_of_the_next_nullable_around_it() {
    assert_eq!(run("{ node { id required } }").await, json!({"node": null}));
    assert_eq!(run("{ node { id child { strict { required } } } }").await, json!({"node": {"id": 1, "child": null}}));
    assert_eq!(run("{ node { id strict { required } } }").await, json!({"node": null}));
    assert_eq!(run("{ root { required } node { id } }").await, Value::Null);
    assert_eq!(run("{ node { list { required } } }").await, json!({"node": {"list": [null, null, null]}}));
}

#[tokio::test]
async fn objects_behind_an_interface_keep_their_fields() {
    let query = "{ node { named { __typename ... on Cat { lives } name } } }";
    assert_eq!(run(query).await, json!({"node": {"named": {"__typename": "Cat", "lives": 9, "name": "Tom"}}}));
}

#[tokio::test]
async fn the_schema_is_left_as_it_is() {
    let data = run("{ __type(name: \"Cat\") { fields { name } kind } }").await;
    assert_eq!(data, json!({"__type": {"fields": [{"name": "name"}, {"name": "lives"}], "kind": "OBJECT"}}));
}

#[tokio::test]
async fn a_field_that_is_skipped_is_absent() {
    let query = "{ node { id @skip(if: true) child @include(if: false) { id } again: id @include(if: true) } }";
    assert_eq!(run(query).await, json!({"node": {"again": 1}}));
}

use http::StatusCode;
use sap_comm_graphql::{GraphqlGateway, GraphqlOptions, GuardLimits};
use serde_json::json;

use crate::harness::{App, Query};

/// Fragments that each spread the next twice: 2^`levels` fields from a few hundred bytes.
fn bomb(levels: usize) -> String {
    let mut query = String::from("{ users { ...F0 } }");
    for level in 0..levels {
        let next = level + 1;
        query.push_str(&format!(" fragment F{level} on User {{ ...F{next} ...F{next} }}"));
    }
    query.push_str(&format!(" fragment F{levels} on User {{ id }}"));
    query
}

#[tokio::test]
async fn the_fragment_bomb_is_refused() {
    let app = App::new();
    for levels in [22, 40, 60] {
        assert_eq!(app.query(&bomb(levels)).await.limit(), "max_fields", "{levels}");
    }
    assert_eq!(app.query(&bomb(3)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_bomb_that_no_operation_uses_is_refused_too() {
    let query = bomb(22).replace("{ users { ...F0 } }", "{ whoami }");
    assert_eq!(App::new().query(&query).await.limit(), "max_fields");
}

#[tokio::test]
async fn a_cycle_of_fragments_is_refused() {
    let query = "{ users { ...A } } fragment A on User { friend { ...B } } fragment B on User { ...A }";
    let answer = App::new().query(query).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "BAD_REQUEST"));
    assert!(answer.text.contains("spreads itself"), "{answer:?}");
}

#[tokio::test]
async fn a_chain_of_fragments_is_bounded() {
    let mut query = String::from("{ users { ...F0 } }");
    for level in 0..500 {
        query.push_str(&format!(" fragment F{level} on User {{ ...F{} }}", level + 1));
    }
    assert_eq!(App::new().query(&query).await.limit(), "max_depth");
}

#[tokio::test]
async fn repetition_is_refused_by_what_repeats() {
    let many = |count: usize, part: &dyn Fn(usize) -> String| (0..count).map(part).collect::<String>();
    let aliases = format!("{{ users {{ {} }} }}", many(101, &|index| format!("a{index}: id ")));
    let roots = format!("{{ {} }}", many(31, &|_| "whoami ".into()));
    let directives = format!("{{ users {{ id {} }} }}", many(101, &|_| "@include(if: true) ".into()));
    let tokens = format!("{{ users {{ {} }} }}", many(5_000, &|_| "id ".into()));
    let bytes = format!("{{ whoami }} # {}", "x".repeat(70_000));
    let deep = format!("{{ users {{ {} id {} }} }}", "friend { ".repeat(63), "}".repeat(63));
    for (query, limit) in [
        (aliases, "max_aliases"),
        (roots, "max_root_fields"),
        (directives, "max_directives"),
        (tokens, "max_tokens"),
        (bytes, "max_query"),
        ("{".repeat(300), "max_nesting"),
        (format!("{{ users(x: {}", "[".repeat(300)), "max_nesting"),
    ] {
        assert_eq!(App::new().query(&query).await.limit(), limit);
    }
    assert_eq!(App::new().query(&deep).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn lists_multiply_the_complexity_whether_literal_or_variable() {
    let app = App::new();
    let of = |limit: &str| format!("{{ users(limit: {limit}) {{ friend {{ friend {{ id name }} }} }} }}");
    assert_eq!(app.query(&of("10")).await.status, StatusCode::OK);
    assert_eq!(app.query(&of("10000")).await.limit(), "max_complexity");
    let query = "query($n: Int = 10000) { users(limit: $n) { friend { id name } } }";
    assert_eq!(app.query(query).await.limit(), "max_complexity");
    assert_eq!(app.post(&json!({"query": query, "variables": {"n": 5}})).await.status, StatusCode::OK);
}

#[tokio::test]
async fn circular_introspection_is_refused() {
    let types = "type { fields { ".repeat(3);
    let query = format!("{{ __schema {{ types {{ fields {{ {types} name {} }} }} }} }}", "} }".repeat(3));
    assert_eq!(App::new().query(&query).await.limit(), "max_introspection_depth");
}

#[tokio::test]
async fn a_bomb_of_variables_is_refused() {
    let variables = json!({"id": vec![vec![1; 200]; 200]});
    let answer = App::new()
        .post(&json!({"query": "query($id: String!) { user(id: $id) { id } }", "variables": variables}))
        .await;
    assert_eq!(answer.limit(), "max_variables");
}

#[tokio::test]
async fn a_query_with_a_thousand_faults_gets_a_bounded_answer() {
    let faults: String = (0..1_500).map(|index| format!("nothing{index} ")).collect();
    let answer = App::new().query(&format!("{{ users {{ {faults} }} }}")).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.body["errors"].as_array().unwrap().len(), 100);
}

#[test]
fn a_limit_out_of_bounds_is_named() {
    let options = GraphqlOptions { guard: GuardLimits { max_depth: 0, ..Default::default() }, ..Default::default() };
    let schema = async_graphql::Schema::new(Query, async_graphql::EmptyMutation, async_graphql::EmptySubscription);
    let error = GraphqlGateway::builder(schema).options(options).build().unwrap_err().to_string();
    assert!(error.contains("guard.max_depth"), "{error}");
}

use axum::body::Body;
use http::{Request, StatusCode, header};

use crate::harness::App;

fn app() -> App {
    App::with(|builder| builder.production())
}

#[tokio::test]
async fn the_schema_cannot_be_asked_for() {
    for query in [
        "{ __schema { types { name } } }",
        "{ ...F } fragment F on Query { __type(name: \"User\") { name } }",
        "query A { whoami } query B { a: __schema { types { name } } }",
    ] {
        let answer = app().query(query).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "FORBIDDEN"), "{query}");
    }
    assert_eq!(app().query("{ users { __typename } }").await.body["data"]["users"][0]["__typename"], "User");
}

#[tokio::test]
async fn no_name_is_suggested() {
    for query in ["{ usrs { id } }", "{ user(idd: 1) { id } }", "{ users @skip(iff: true) { id } }"] {
        let answer = app().query(query).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(!answer.text.contains("Did you mean"), "{}", answer.text);
    }
}

#[tokio::test]
async fn there_is_no_playground() {
    let request = Request::get("/graphql").header(header::ACCEPT, "text/html,*/*;q=0.8").body(Body::empty()).unwrap();
    let answer = app().send(request).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(!answer.text.contains("<html"));
}

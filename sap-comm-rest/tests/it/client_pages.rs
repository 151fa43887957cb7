use axum::{Router, extract::OriginalUri, routing::get};
use futures_util::{StreamExt, TryStreamExt, pin_mut};
use sap_comm_core::{ApiError, ErrorCode, Page, PageQuery};
use sap_comm_rest::{
    client::ClientError,
    server::{Json, PageResponse, Paged, Query},
};
use serde::Deserialize;

use crate::support::{plain_client, serve};

#[derive(Deserialize)]
struct Filter {
    role: String,
}

async fn list(
    OriginalUri(uri): OriginalUri,
    Paged(query): Paged,
    Query(filter): Query<Filter>,
) -> Result<PageResponse<String>, ApiError> {
    if filter.role == "broken" && query.page == 2 {
        return Err(ApiError::new(ErrorCode::CONFLICT, "No"));
    }
    let items = (query.offset()..25).take(query.limit as usize).map(|number| format!("{}{number}", filter.role));
    Ok(PageResponse::new(Page::new(items.collect(), query, 25), &uri))
}

/// Says that there is more, for ever.
async fn endless(Paged(query): Paged) -> Json<Page<String>> {
    Json(Page::new(Vec::new(), query, u64::MAX))
}

#[tokio::test]
async fn a_collection_is_walked_from_its_first_page_to_its_last() {
    let server = serve(Router::new().route("/users", get(list))).await;
    let pages = plain_client(server.endpoint()).get("/users", []).query(&[("role", "u")]).pages::<String>(10);
    let pages: Vec<_> = pages.try_collect().await.unwrap();
    assert_eq!(pages.iter().map(|page| page.data.len()).collect::<Vec<_>>(), [10, 10, 5]);
    assert_eq!(pages[2].data[4], "u24");
}

#[tokio::test]
async fn an_error_ends_the_walk() {
    let server = serve(Router::new().route("/users", get(list))).await;
    let pages = plain_client(server.endpoint()).get("/users", []).query(&[("role", "broken")]).pages::<String>(10);
    pin_mut!(pages);
    assert!(pages.next().await.unwrap().is_ok());
    assert!(matches!(pages.next().await, Some(Err(ClientError::Api(_)))));
    assert!(pages.next().await.is_none());
}

#[tokio::test]
async fn a_wrong_total_does_not_make_it_endless() {
    let server = serve(Router::new().route("/users", get(endless))).await;
    let pages = plain_client(server.endpoint()).get("/users", []).pages::<String>(PageQuery::MAX_LIMIT);
    assert_eq!(pages.count().await, 1);
}

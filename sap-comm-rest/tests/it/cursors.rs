use std::time::Duration;

use axum::extract::{OriginalUri, State};
use futures_util::TryStreamExt;
use http::Uri;
use sap_comm_core::{ApiError, Context, Principal};
use sap_comm_rest::{
    cursor::{CursorPageResponse, CursorQuery, CursorSealer},
    operation::{Contract, Operation},
    server::{ContractRouter, Query},
};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::support::{Answer, Running, ask, plain_client, serve};

#[derive(Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Takes every n-th number only.
    step: Option<u64>,
}

type List = Operation<(CursorQuery, Query<Filter>), CursorPageResponse<u64>>;

const NUMBERS: List = Operation::get("/numbers").public();
const OTHERS: List = Operation::get("/others").public();
const LISTS: Contract = Contract::new("lists", &[NUMBERS.definition(), OTHERS.definition()]);

const SECRET: &str = "a secret of more than thirty-two bytes";
const OLD: &str = "an old secret of more than thirty-two bytes";

/// The numbers below 25.
async fn list(
    State(cursors): State<CursorSealer>,
    OriginalUri(uri): OriginalUri,
    query: CursorQuery,
    Query(filter): Query<Filter>,
) -> Result<CursorPageResponse<u64>, ApiError> {
    let from: u64 = cursors.open(&query, &uri)?.unwrap_or(0);
    let step = filter.step.unwrap_or(1).max(1);
    let limit = u64::from(query.limit);
    let numbers: Vec<_> = (from..25).step_by(step as usize).take(query.limit as usize).collect();
    let next = Some(from + limit * step).filter(|next| *next < 25).map(|next| cursors.seal(&next, &uri)).transpose()?;
    let prev = (from > 0).then(|| cursors.seal(&from.saturating_sub(limit * step), &uri)).transpose()?;
    Ok(CursorPageResponse::new(numbers, &query, &uri).next(next).prev(prev))
}

fn sealer() -> CursorSealer {
    CursorSealer::builder(SECRET.to_owned()).build().unwrap()
}

async fn lists() -> Running {
    serve(ContractRouter::new(&LISTS).serve(NUMBERS, list).serve(OTHERS, list).build(sealer()).unwrap()).await
}

async fn get(server: &Running, target: &str) -> Answer {
    ask(server.addr, &format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n")).await
}

/// What `rel` links to.
fn link(answer: &Answer, rel: &str) -> Option<String> {
    let rel = format!("; rel=\"{rel}\"");
    let links = answer.header("link")?.split(", ");
    links.filter_map(|link| link.strip_suffix(&rel)).map(|link| link[1..link.len() - 1].to_owned()).next()
}

#[tokio::test]
async fn links_lead_through_the_list_and_back() {
    let server = lists().await;
    let first = get(&server, "/numbers?step=2&limit=5").await;
    assert_eq!(first.json()["data"], serde_json::json!([0, 2, 4, 6, 8]));
    assert_eq!((link(&first, "first").as_deref(), link(&first, "prev")), (Some("/numbers?step=2&limit=5"), None));
    let second = get(&server, &link(&first, "next").unwrap()).await;
    assert_eq!(second.json()["data"], serde_json::json!([10, 12, 14, 16, 18]));
    let last = get(&server, &link(&second, "next").unwrap()).await;
    assert_eq!((last.json()["data"].clone(), link(&last, "next")), (serde_json::json!([20, 22, 24]), None));
    let back = get(&server, &link(&last, "prev").unwrap()).await;
    assert_eq!(back.json()["data"], second.json()["data"]);
    // The limit may change on the way.
    let cursor = first.json()["pagination"]["next"].as_str().unwrap().to_owned();
    let other = get(&server, &format!("/numbers?limit=2&cursor={cursor}&step=2")).await;
    assert_eq!(other.json()["data"], serde_json::json!([10, 12]));
}

#[tokio::test]
async fn a_cursor_that_is_not_of_this_list_is_refused() {
    let server = lists().await;
    let cursor = get(&server, "/numbers?step=2").await.json()["pagination"]["next"].as_str().unwrap().to_owned();
    let mut tampered = cursor.clone().into_bytes();
    let last = tampered.len() / 2;
    tampered[last] = if tampered[last] == b'A' { b'B' } else { b'A' };
    let tampered = String::from_utf8(tampered).unwrap();
    for target in [
        format!("/numbers?step=2&cursor={tampered}"),
        format!("/numbers?step=3&cursor={cursor}"),
        format!("/numbers?cursor={cursor}"),
        format!("/others?step=2&cursor={cursor}"),
        "/numbers?cursor=AAAA".to_owned(),
        "/numbers?cursor=%20".to_owned(),
        "/numbers?cursor=".to_owned(),
        format!("/numbers?cursor={}", "A".repeat(2_049)),
    ] {
        let answer = get(&server, &target).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "INVALID_ARGUMENT"), "{target}");
        assert_eq!(answer.error()["details"]["parameter"], "cursor", "{target}");
    }
    let answer = get(&server, "/numbers?limit=101").await;
    assert_eq!((answer.status, answer.error()["details"]["parameter"].as_str()), (400, Some("limit")));
}

fn query(cursor: &str) -> CursorQuery {
    CursorQuery { cursor: Some(cursor.to_owned()), limit: 10 }
}

#[tokio::test]
async fn a_cursor_of_another_caller_is_refused() {
    let uri = Uri::from_static("/numbers");
    let as_user = |id: &str| Context::root().with_principal(Principal::user(id, ["user"]));
    let cursor = as_user("usr_1").scope(async { sealer().seal(&7, &uri).unwrap() }).await;
    let open = async |id: &str| as_user(id).scope(async { sealer().open::<u64>(&query(&cursor), &uri) }).await;
    assert_eq!(open("usr_1").await.unwrap(), Some(7));
    assert_eq!(open("usr_2").await.unwrap_err().details()["parameter"], "cursor");
    let as_service = Context::root().with_principal(Principal::service("usr_1", [""; 0]));
    let opened = as_service.scope(async { sealer().open::<u64>(&query(&cursor), &uri) }).await;
    assert!(opened.is_err(), "a service of the same id is another caller");
    assert!(sealer().open::<u64>(&query(&cursor), &uri).is_err());
}

#[test]
fn keys_are_changed_without_a_break_and_cursors_end() {
    let uri = Uri::from_static("/numbers?a=1&b=2&limit=5");
    let old = CursorSealer::builder(OLD.to_owned()).build().unwrap();
    let both = CursorSealer::builder(SECRET.to_owned()).previous(OLD.to_owned()).build().unwrap();
    let cursor = old.seal(&("a", 7), &uri).unwrap();
    let reordered = Uri::from_static("/numbers?limit=9&b=2&a=1");
    assert_eq!(both.open::<(String, u64)>(&query(&cursor), &reordered).unwrap(), Some(("a".to_owned(), 7)));
    assert!(sealer().open::<(String, u64)>(&query(&cursor), &uri).is_err());
    let sealed = both.seal(&1, &uri).unwrap();
    assert!(sealer().open::<u64>(&query(&sealed), &uri).is_ok() && old.open::<u64>(&query(&sealed), &uri).is_err());
    // A position that is read in another way than it was written.
    assert!(both.open::<String>(&query(&sealed), &uri).unwrap_err().message().contains("of no use any more"));
    let brief = CursorSealer::builder(SECRET.to_owned()).lifetime(Duration::from_nanos(1)).build().unwrap();
    let over = brief.seal(&1, &uri).unwrap();
    assert!(brief.open::<u64>(&query(&over), &uri).unwrap_err().message().contains("over"));
    assert!(CursorSealer::builder("short".to_owned()).build().is_err());
    assert!(CursorSealer::builder(SECRET.to_owned()).previous(SECRET.to_owned()).build().is_err());
    assert!(!format!("{both:?}").contains("secret"));
}

#[tokio::test]
async fn the_typed_client_walks_from_beginning_to_end() {
    let server = lists().await;
    let client = plain_client(server.endpoint());
    let call = client.call(&NUMBERS, (CursorQuery::first(3), &Filter { step: Some(2) }));
    let pages: Vec<_> = call.pages(10).try_collect().await.unwrap();
    assert_eq!(pages.iter().map(|page| page.data.len()).collect::<Vec<_>>(), [10, 3]);
    assert_eq!(pages[1].data, [20, 22, 24]);
}

#[test]
fn the_document_tells_of_cursors() {
    let document = LISTS.openapi();
    let list = &document["paths"]["/numbers"]["get"];
    assert_eq!((&list["parameters"][0]["name"], &list["parameters"][1]["name"]), (&"cursor".into(), &"limit".into()));
    assert!(list["responses"]["200"]["headers"]["link"].is_object());
    assert!(document["components"]["schemas"]["CursorPageOfu64"].is_object());
}

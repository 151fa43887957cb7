//! The AsyncAPI document, read by AsyncAPI's own parser.

use sap_comm_core::{Event, EventPayload, RawEvent};
use sap_comm_events::{
    EventRouter, Request,
    async_api::{AsyncApi, AsyncApiDocument, AsyncApiError},
};
use sap_comm_testkit::node::NodeScript;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

#[derive(Debug, Serialize, Deserialize, EventPayload, ToSchema)]
#[event(type = "order.placed", version = "2.1")]
#[serde(rename_all = "camelCase")]
struct OrderPlaced {
    /// The order.
    order_id: String,
    lines: Vec<Line>,
    payment: Payment,
    #[schema(example = "ring twice")]
    note: Option<String>,
    parent: Option<Box<Line>>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct Line {
    sku: String,
    #[schema(minimum = 1)]
    quantity: u32,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "by", rename_all = "lowercase")]
enum Payment {
    Card { last_digits: String },
    Invoice,
}

#[derive(Debug, Serialize, Deserialize, EventPayload, ToSchema)]
#[event(type = "order.ship", kind = "command")]
struct ShipOrder {
    order_id: String,
}

#[derive(Debug, Serialize, Deserialize, EventPayload, ToSchema)]
#[event(type = "order.quote", kind = "command")]
struct QuoteOrder {
    lines: Vec<Line>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct Price {
    cents: u64,
}

impl Request for QuoteOrder {
    type Reply = Price;
}

#[derive(Debug, Serialize, Deserialize, EventPayload, ToSchema)]
#[event(type = "order.list", kind = "command")]
struct ListOrders {
    customer: String,
}

impl Request for ListOrders {
    type Reply = Vec<Line>;
}

#[derive(Debug, Serialize, Deserialize, EventPayload, ToSchema)]
#[event(type = "order.list", kind = "command", version = "2.0")]
struct ListOrdersSince {
    since: String,
}

impl Request for ListOrdersSince {
    type Reply = Vec<u64>;
}

#[derive(Debug, Serialize, Deserialize, EventPayload, ToSchema)]
#[event(type = "order.cancel", kind = "command")]
struct CancelOrder {
    order_id: String,
}

impl Request for CancelOrder {
    type Reply = ();
}

mod elsewhere {
    use super::*;

    #[derive(Debug, Serialize, Deserialize, EventPayload, ToSchema)]
    #[event(type = "order.returned")]
    pub(super) struct OrderPlaced {
        reason: String,
    }
}

fn document() -> AsyncApiDocument {
    AsyncApi::new("order-service", "1.0.0")
        .description("Takes orders.")
        .server("production", "amqps://rabbit.example.com/sap")
        .publishes::<OrderPlaced>("order.events")
        .consumes::<OrderPlaced>("order.events")
        .consumes::<ShipOrder>("order.events")
        .requests::<QuoteOrder>("price.events")
        .answers::<QuoteOrder>("order.events")
        .answers::<ListOrders>("order.events")
        .answers::<ListOrdersSince>("order.events")
        .answers::<CancelOrder>("order.events")
        .build()
        .unwrap()
}

#[tokio::test]
async fn asyncapis_own_parser_finds_nothing_wrong() {
    let mut script = NodeScript::new("asyncapi_parse.mjs").spawn().unwrap();
    script.send(document().as_value().to_string()).await.unwrap();
    let parsed = script.next_json().await.unwrap();
    script.finish().await.unwrap();
    assert_eq!(parsed["diagnostics"], json!([]));
    let channels = [
        "order.events:order.cancel",
        "order.events:order.cancel.reply",
        "order.events:order.list",
        "order.events:order.list.reply",
        "order.events:order.placed",
        "order.events:order.quote",
        "order.events:order.quote.reply",
        "order.events:order.ship",
        "price.events:order.quote",
        "price.events:order.quote.reply",
    ];
    assert_eq!(parsed["channels"], json!(channels));
    assert_eq!(parsed["operations"].as_array().map(Vec::len), Some(7));
    let reply = |action: &str, request: &str, messages: usize| {
        json!({
            "operation": format!("{action}.{request}"), "channel": format!("{request}.reply"), "messages": messages,
        })
    };
    let replies = [
        reply("receive", "order.events:order.cancel", 2),
        reply("receive", "order.events:order.list", 3),
        reply("receive", "order.events:order.quote", 2),
        reply("send", "price.events:order.quote", 2),
    ];
    assert_eq!(parsed["replies"], json!(replies));
}

#[test]
fn a_document_says_where_events_go() {
    let document = document();
    let json = document.as_value();
    let exchange = |channel: &str| json["channels"][channel]["bindings"]["amqp"]["exchange"].clone();
    let expected = |name, kind| json!({ "name": name, "type": kind, "durable": true, "autoDelete": false });
    assert_eq!(exchange("order.events:order.placed"), expected("order.events", "topic"));
    assert_eq!(exchange("order.events:order.ship"), expected("order.events.commands", "direct"));
    assert_eq!(json["channels"]["order.events:order.placed"]["address"], "order.placed");
    assert_eq!(json["servers"]["production"]["pathname"], "/sap");
}

#[test]
fn a_request_says_what_it_is_answered_with() {
    let document = document();
    let json = document.as_value();
    let reply = &json["operations"]["send.price.events:order.quote"]["reply"];
    assert_eq!(reply["channel"]["$ref"], "#/channels/price.events:order.quote.reply");
    assert_eq!(json["channels"]["price.events:order.quote.reply"]["address"], json!(null));
    let message = &json["components"]["messages"]["order.quote.reply-1.0"];
    let payload = &message["payload"]["allOf"][1]["properties"];
    assert_eq!(payload["type"]["const"], "order.quote.reply");
    assert!(payload["data"]["properties"]["cents"].is_object());
    let list = &json["components"]["messages"]["order.list.reply-1.0"]["payload"]["allOf"][1]["properties"]["data"];
    assert!(list["items"]["properties"]["sku"].is_object(), "{list}");
    assert!(json["components"]["schemas"]["ErrorBody"]["properties"]["requestId"].is_object());
}

#[test]
fn a_router_is_held_against_the_document() {
    let router = EventRouter::new()
        .on(|_: Event<OrderPlaced>| async { Ok(()) })
        .on(|_: Event<ShipOrder>| async { Ok(()) })
        .otherwise(|_: RawEvent| async { Ok(()) });
    assert!(document().undocumented("order.events", &router).is_empty());
    assert_eq!(document().undocumented("other.events", &router), ["order.placed", "order.ship"]);
}

#[test]
fn two_schemas_of_one_name_are_refused() {
    let built = AsyncApi::new("order-service", "1.0.0")
        .publishes::<OrderPlaced>("order.events")
        .publishes::<elsewhere::OrderPlaced>("order.events")
        .build();
    assert_eq!(built.unwrap_err(), AsyncApiError::Conflict { what: "schemas", name: "OrderPlaced".into() });
    let built = AsyncApi::new("order-service", "1.0.0").publishes::<OrderPlaced>("order events").build();
    assert!(built.unwrap_err().to_string().contains("order events"));
}

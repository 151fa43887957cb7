//! Requests over lost connections, and to and from programs that are not ours.

use std::time::Duration;

use futures_util::StreamExt;
use lapin::{
    BasicProperties,
    options::{BasicAckOptions, BasicConsumeOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::FieldTable,
};
use sap_comm_core::{ApiError, Event};
use sap_comm_events::{Broker, EventRouter, RequestError};
use sap_comm_testkit::RabbitNode;
use serde_json::json;
use tokio::sync::mpsc;

use super::{LIMIT, config, eventually, foreign, publish_bytes, soon, vhost};
use crate::events::ReportRequested;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_arrives_over_connections_that_are_made_again() {
    let node = RabbitNode::shared().await.unwrap();
    let uri = vhost().await;
    let asker = Broker::connect(&uri, config()).await.unwrap();
    let answerer = Broker::connect(&uri, config()).await.unwrap();
    let (sender, mut entered) = mpsc::unbounded_channel();
    let release = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let held = release.clone();
    let router = EventRouter::new().on_request(move |command: Event<ReportRequested>| {
        let (sent, held) = (sender.send(()), held.clone());
        async move {
            sent.map_err(ApiError::internal)?;
            held.acquire().await.map_err(ApiError::internal)?.forget();
            Ok(command.data.number.to_string())
        }
    });
    let _handle = answerer.subscribe("report.events", router).await.unwrap();
    let asking = tokio::spawn({
        let asker = asker.clone();
        async move { asker.request("report.events", ReportRequested { number: 7 }, LIMIT).await }
    });
    soon(entered.recv()).await.unwrap();
    assert_eq!(node.close_connections_of(&uri).await.unwrap(), 4);
    eventually("the loss is noticed", || !asker.health().is_ready() && !answerer.health().is_ready()).await;
    // The command comes again, since nobody settled it.
    release.add_permits(2);
    assert_eq!(soon(asking).await.unwrap().unwrap(), "7");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_requester_is_answered_through_direct_reply_to() {
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let router = EventRouter::new().on_request(|command: Event<ReportRequested>| async move {
        match command.data.number {
            1 => Ok("one".to_owned()),
            other => Err(ApiError::not_found("report", &other.to_string())),
        }
    });
    let _handle = broker.subscribe("report.events", router).await.unwrap();
    let channel = foreign(&uri).await;
    let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
    let mut answers =
        channel.basic_consume("amq.rabbitmq.reply-to".into(), "".into(), options, FieldTable::default()).await.unwrap();
    for number in [1, 2] {
        let body = json!({
            "id": format!("evt_{number}"), "type": "report.requested", "source": "node", "correlationId": "req_1",
            "timestamp": "2025-05-19T18:30:00.000Z", "data": {"number": number}, "metadata": {"version": "1.0"},
        });
        let properties = BasicProperties::default()
            .with_reply_to("amq.rabbitmq.reply-to".into())
            .with_correlation_id(format!("call-{number}").into());
        let body = body.to_string();
        publish_bytes(&channel, "report.events.commands", "report.requested", body.as_bytes(), properties).await;
        let answer = soon(answers.next()).await.unwrap().unwrap();
        assert_eq!(answer.properties.correlation_id().as_ref().unwrap().as_str(), format!("call-{number}"));
        let answer: serde_json::Value = serde_json::from_slice(&answer.data).unwrap();
        match number {
            1 => assert_eq!((&answer["data"], &answer["correlationId"]), (&json!("one"), &json!("req_1"))),
            _ => assert_eq!(answer["error"]["code"], "REPORT_NOT_FOUND"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_answerer_echoes_the_correlation_id() {
    let uri = vhost().await;
    let channel = foreign(&uri).await;
    let (exchange, queue) = ("report.events.commands", "foreign");
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let table = FieldTable::default;
    channel.exchange_declare(exchange.into(), lapin::ExchangeKind::Direct, durable, table()).await.unwrap();
    channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), table()).await.unwrap();
    let bind = QueueBindOptions::default();
    channel.queue_bind(queue.into(), exchange.into(), "report.requested".into(), bind, table()).await.unwrap();
    let mut commands =
        channel.basic_consume(queue.into(), "".into(), BasicConsumeOptions::default(), table()).await.unwrap();
    let answering = tokio::spawn(async move {
        for _ in 0..2 {
            let command = commands.next().await.unwrap().unwrap();
            let event: serde_json::Value = serde_json::from_slice(&command.data).unwrap();
            let answer = match event["data"]["number"].as_u64() {
                Some(1) => json!({
                    "id": "evt_9", "type": "any", "source": "node", "correlationId": event["correlationId"],
                    "timestamp": "2025-05-19T18:30:00.000Z", "data": "one", "metadata": {"version": "1.0"},
                }),
                _ => json!({"hello": "world"}),
            };
            let reply_to = command.properties.reply_to().clone().unwrap();
            let correlation_id = command.properties.correlation_id().clone().unwrap();
            let properties = BasicProperties::default().with_correlation_id(correlation_id);
            publish_bytes(&channel, "", reply_to.as_str(), answer.to_string().as_bytes(), properties).await;
            command.acker.ack(BasicAckOptions::default()).await.unwrap();
        }
    });
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let ask = async |number| broker.request("report.events", ReportRequested { number }, Duration::from_secs(30)).await;
    assert_eq!(ask(1).await.unwrap(), "one");
    let error = ask(2).await.unwrap_err();
    assert!(matches!(error, RequestError::Reply { .. }), "{error}");
    soon(answering).await.unwrap();
}

//! What must not come through, byte for byte.

use super::{
    corpus::{Attack, Expect, corpus},
    support::{Wire, echo, serve, to, upstream},
    witness::Witness,
};

#[tokio::test]
async fn every_attack_of_the_corpus_gets_the_answer_that_stands_there() {
    let witness = Witness::start().await;
    let gateway = serve(to(&witness.running).build().unwrap()).await;
    let owned = |(target, body): (&str, &str)| (target.to_owned(), body.to_owned());
    let probe = owned(("/api/probe", ""));
    let mut others = Vec::new();
    for Attack { name, bytes, expect } in corpus() {
        let outcome = witness.play(gateway.address, &bytes).await;
        let (statuses, seen) = match expect {
            Expect::Closes(status) => (vec![status], Vec::new()),
            Expect::Refuses(status) => (vec![status, 200], vec![probe.clone()]),
            Expect::Serves(requests) => {
                let requests = requests.iter().copied().map(owned);
                (vec![200; requests.len() + 1], requests.chain([probe.clone()]).collect())
            }
        };
        let got: Vec<_> = outcome.seen.iter().map(|seen| (seen.target.clone(), seen.body.clone())).collect();
        let clear = outcome.seen.iter().all(|seen| seen.unclear.is_none());
        if (&outcome.statuses, &got) != (&statuses, &seen) || !clear || !outcome.without_envelope.is_empty() {
            others.push(format!("{name}: {outcome:?} instead of {statuses:?} {seen:?}"));
        }
    }
    assert!(others.is_empty(), "{}", others.join("\n"));
}

#[tokio::test]
async fn the_bytes_behind_an_empty_body_are_the_next_request() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let mut wire = Wire::open(&gateway).await;
    wire.write(
        "POST /api/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nGET /api/2 HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /nothing HTTP/1.1\r\nHost: a\r\n\r\nGET /api/3 HTTP/1.1\r\nHost: a\r\n\r\n",
    )
    .await;
    assert_eq!(wire.answer().await.json()["target"], "/api/1");
    assert_eq!(wire.answer().await.json()["target"], "/api/2");
    assert_eq!(wire.answer().await.status, 404);
    assert_eq!(wire.answer().await.json()["target"], "/api/3");
}

#[tokio::test]
async fn an_upgrade_without_connection_is_an_ordinary_request() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let mut wire = Wire::open(&gateway).await;
    for head in
        ["Upgrade: websocket", "Upgrade: h2c\r\nConnection: upgrade", "Upgrade: websocket, h2c\r\nConnection: upgrade"]
    {
        wire.write(format!("GET /api HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n")).await;
        let answer = wire.answer().await;
        assert_eq!((answer.status, answer.sent("upgrade"), answer.sent("connection")), (200, None, None));
    }
}

#[tokio::test]
async fn headers_and_targets_have_their_limits() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let lines = |count: usize| (0..count).map(|number| format!("X-{number}: 1\r\n")).collect::<String>();
    for (name, status, bytes) in [
        ("90 headers", 200, format!("GET /api HTTP/1.1\r\nHost: a\r\n{}\r\n", lines(89))),
        ("101 headers", 431, format!("GET /api HTTP/1.1\r\nHost: a\r\n{}\r\n", lines(100))),
        ("64 KiB of headers", 431, format!("GET /api HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(65_536))),
        ("16 KiB of target", 414, format!("GET /api/{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(16_384))),
        ("64 KiB of target", 414, format!("GET /api/{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(65_536))),
    ] {
        let mut wire = Wire::open(&gateway).await;
        wire.write(bytes).await;
        assert_eq!(wire.answer().await.status, status, "{name}");
    }
}

#[tokio::test]
async fn refusals_are_problem_details_for_those_who_ask() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let accept = [("Accept", "application/problem+json")];
    let answer = super::support::send(&gateway, "GET", "/nothing", &accept, "").await;
    assert_eq!((answer.status, answer.header("content-type")), (404, Some("application/problem+json")));
    assert_eq!(answer.json()["requestId"].as_str(), answer.header("x-request-id"));
}

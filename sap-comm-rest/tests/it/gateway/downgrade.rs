//! Requests of HTTP/2 that would become others, or more, if they were written down as HTTP/1.1.

use serde_json::Value;

use super::{
    support::{Running, serve, to},
    witness::Witness,
};
use crate::support::frames::{END_HEADERS, END_STREAM, Receiver, frame, kind, open};

const PROTOCOL_ERROR: u32 = 1;

/// A name and a value.
type Field = (&'static str, &'static str);

/// A request that has nothing wrong with it, as long as `hello` is its body.
const SOUND: [Field; 5] =
    [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/api/sound"), ("content-length", "5")];

/// What comes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// RST_STREAM, with this code.
    Resets(u32),
    /// GOAWAY, with this code.
    Closes(u32),
    /// An answer with this status, and the envelope unless that is 200.
    Answers(u16),
}

use Outcome::{Answers, Closes, Resets};

/// A request that is none, and what its peer gets for it.
struct Attack {
    name: &'static str,
    fields: Vec<Field>,
    body: &'static str,
    expect: Outcome,
}

fn attack(name: &'static str, expect: Outcome, fields: Vec<Field>, body: &'static str) -> Attack {
    Attack { name, fields, body, expect }
}

/// The sound one with a further field.
fn with(name: &'static str, expect: Outcome, further: Field) -> Attack {
    attack(name, expect, [&SOUND[..], &[further]].concat(), "hello")
}

/// The sound one with another value of a field that it has.
fn instead(name: &'static str, expect: Outcome, other: Field) -> Attack {
    attack(name, expect, SOUND.map(|field| if field.0 == other.0 { other } else { field }).to_vec(), "hello")
}

fn attacks() -> Vec<Attack> {
    let reset = Resets(PROTOCOL_ERROR);
    let closed = Closes(PROTOCOL_ERROR);
    let [method, scheme, authority, path, length] = SOUND;
    vec![
        with("transfer coding", reset, ("transfer-encoding", "chunked")),
        attack(
            "transfer coding without a length",
            reset,
            vec![method, scheme, authority, path, ("transfer-encoding", "chunked")],
            "0\r\n\r\nGET /api/smuggled HTTP/1.1\r\nhost: a\r\n\r\n",
        ),
        instead("length of less than the body", reset, ("content-length", "4")),
        instead("length of nothing before a body", reset, ("content-length", "0")),
        instead("length of more than the body", reset, ("content-length", "6")),
        attack("length without a body", reset, SOUND.to_vec(), ""),
        instead("signed length", reset, ("content-length", "+5")),
        instead("list of lengths", reset, ("content-length", "5, 5")),
        with("two lengths alike", Answers(400), length),
        with("two lengths that differ", reset, ("content-length", "6")),
        with("connection", reset, ("connection", "content-length")),
        with("keep-alive", reset, ("keep-alive", "timeout=5")),
        with("proxy-connection", reset, ("proxy-connection", "keep-alive")),
        with("upgrade", reset, ("upgrade", "websocket")),
        with("te other than trailers", reset, ("te", "gzip")),
        with("line's end in a value", closed, ("x-a", "b\r\ntransfer-encoding: chunked")),
        with("return in a value", closed, ("x-a", "b\rtransfer-encoding: chunked")),
        with("line feed in a value", closed, ("x-a", "b\ntransfer-encoding: chunked")),
        with("zero byte in a value", closed, ("x-a", "b\0")),
        with("line's end in a name", closed, ("x-a: b\r\ntransfer-encoding", "chunked")),
        with("colon in a name", closed, ("transfer-encoding:chunked", "b")),
        with("space in a name", closed, ("transfer-encoding ", "chunked")),
        with("name in upper case", closed, ("Transfer-Encoding", "chunked")),
        instead("line's end in the path", reset, (":path", "/api HTTP/1.1\r\nhost: a\r\n\r\nGET /api/smuggled")),
        instead("space in the path", reset, (":path", "/api/smuggled HTTP/1.1")),
        instead("empty path", reset, (":path", "")),
        instead("space in the method", closed, (":method", "GET /api/smuggled HTTP/1.1")),
        instead("line's end in the method", closed, (":method", "GET /api/smuggled HTTP/1.1\r\nx-a: b\r\n\r\nPOST")),
        instead("path in the scheme", reset, (":scheme", "http://a/api/smuggled?")),
        instead("line's end in the authority", reset, (":authority", "a\r\ntransfer-encoding: chunked")),
        instead("authority with credentials", Answers(400), (":authority", "u@a")),
        with("host unlike the authority", Answers(400), ("host", "b")),
        attack("pseudo header behind a field", reset, vec![method, scheme, authority, length, path], "hello"),
        with("path twice", reset, (":path", "/api/smuggled")),
    ]
}

/// The frames of a request, whose fields are literals and stay out of the table (RFC 7541, 6.2.2).
fn frames_of(fields: &[Field], body: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            let length = u8::try_from(text.len()).unwrap();
            assert!(length < 0x7f, "the length of {text:?} takes more than a byte");
            block.push(length);
            block.extend(text.as_bytes());
        }
    }
    if body.is_empty() {
        return frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &block);
    }
    [frame(kind::HEADERS, END_HEADERS, 1, &block), frame(kind::DATA, END_STREAM, 1, body.as_bytes())].concat()
}

/// Asks on a connection of its own.
async fn ask(gateway: &Running, fields: &[Field], body: &str) -> Outcome {
    let (mut sender, mut receiver) = open(gateway.address, &[]).await;
    assert!(sender.say(&frames_of(fields, body)).await);
    loop {
        let frame = receiver.next().await.expect("the connection ends without a word");
        let code_at = |at: usize| u32::from_be_bytes(frame.payload[at..at + 4].try_into().unwrap());
        match frame.kind {
            kind::RST_STREAM => return Resets(code_at(0)),
            kind::GOAWAY => return Closes(code_at(4)),
            kind::HEADERS => return Answers(status_of(&frame.payload, &mut receiver).await),
            _ => {}
        }
    }
}

/// The status of an answer that begins with these headers. Anything but a success must have the envelope.
async fn status_of(headers: &[u8], receiver: &mut Receiver) -> u16 {
    // By its place in the static table (RFC 7541, appendix A).
    let status = match headers[0] {
        0x88 => return 200,
        0x8c => 400,
        0x8d => 404,
        0x8e => 500,
        other => panic!("a status that begins with {other:#x}"),
    };
    let mut body = Vec::new();
    let envelope: Value = loop {
        let frame = receiver.next().await.expect("the connection ends within an answer");
        assert_eq!(frame.kind, kind::DATA, "after {:?}", String::from_utf8_lossy(&body));
        body.extend(frame.payload);
        if let Ok(whole) = serde_json::from_slice(&body) {
            break whole;
        }
    };
    let error = &envelope["error"];
    assert!(error["code"].is_string() && error["requestId"].is_string(), "{envelope}");
    status
}

#[tokio::test]
async fn nothing_is_smuggled_by_a_request_of_http2_into_one_of_http1() {
    let witness = Witness::start().await;
    let gateway = serve(to(&witness.running).build().unwrap()).await;
    let honest = [("/api/sound", "hello", vec!["5"]), ("/api/probe", "", vec![])];
    let mut others = Vec::new();
    for Attack { name, fields, body, expect } in attacks() {
        let outcome = ask(&gateway, &fields, body).await;
        assert_eq!(ask(&gateway, &SOUND, "hello").await, Answers(200), "after {name}");
        // The probe alone: what reached the upstream is the sound one, it, and nothing else.
        let seen = witness.play(gateway.address, b"").await.seen;
        let clear = seen.iter().all(|seen| seen.unclear.is_none() && seen.values("transfer-encoding").is_empty());
        let got: Vec<_> = seen.iter().map(|seen| (&*seen.target, &*seen.body, seen.values("content-length"))).collect();
        if outcome != expect || got != honest || !clear {
            others.push(format!("{name}: {outcome:?} instead of {expect:?}, and {seen:?}"));
        }
    }
    assert!(others.is_empty(), "{}", others.join("\n"));
}

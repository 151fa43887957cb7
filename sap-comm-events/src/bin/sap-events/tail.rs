//! `sap-events tail`.

use std::process::ExitCode;

use sap_comm_events::TailedEvent;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{args::Connection, connect, failure::Failure, output};

pub(crate) async fn run(
    connection: &Connection,
    as_json: bool,
    options: &crate::args::Tail,
) -> Result<ExitCode, Failure> {
    let broker = connect(connection).await?;
    let patterns: Vec<_> = options.types.iter().map(String::as_str).collect();
    let mut tail = broker.tail(&options.exchange, &patterns).await?;
    eprintln!("listening on {} for {}", options.exchange, patterns.join(", "));
    let mut left = options.limit.unwrap_or(u64::MAX);
    while left > 0 {
        let event = tail.next().await.ok_or(Failure::Closed)?;
        print(&event, as_json)?;
        left -= 1;
    }
    Ok(ExitCode::SUCCESS)
}

/// An event as a line of JSON. What its publisher wrote is passed on unread: not all that may be written can be read.
#[derive(Serialize)]
struct Line<'a, T, K, I, S> {
    #[serde(rename = "type")]
    event_type: T,
    kind: K,
    id: I,
    source: S,
    event: Body<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Body<'a> {
    Json(&'a RawValue),
    Text(&'a str),
}

fn print(event: &TailedEvent, as_json: bool) -> std::io::Result<()> {
    let text = String::from_utf8_lossy(&event.event);
    if as_json {
        let body = match serde_json::from_slice(&event.event) {
            Ok(json) => Body::Json(json),
            Err(_) => Body::Text(&text),
        };
        let TailedEvent { event_type, kind, id, source, .. } = event;
        return output::json(&Line { event_type, kind, id, source, event: body });
    }
    output::line(&format!("{}  {}", output::printable(&event.event_type), output::printable(&text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_number_or_text_can_hold_is_passed_on() {
        for body in ["1e999", r#""\ud800""#, &format!("{}{}", "[".repeat(200), "]".repeat(200))] {
            let event = Body::Json(serde_json::from_str(body).unwrap());
            let line = Line { event_type: "a.b", kind: "domain", id: "evt_1", source: "test", event };
            let line = serde_json::to_string(&line).unwrap();
            assert_eq!(
                line,
                format!(r#"{{"type":"a.b","kind":"domain","id":"evt_1","source":"test","event":{body}}}"#)
            );
        }
    }
}

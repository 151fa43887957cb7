//! `sap-events tail`.

use std::process::ExitCode;

use sap_comm_events::TailedEvent;
use serde_json::{json, value::RawValue};

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

fn print(event: &TailedEvent, as_json: bool) -> std::io::Result<()> {
    let text = String::from_utf8_lossy(&event.event);
    if as_json {
        let body = match serde_json::from_slice::<&RawValue>(&event.event) {
            Ok(body) => json!(body),
            Err(_) => json!(text),
        };
        let (id, event_type, source) = (&event.id, &event.event_type, &event.source);
        return output::json(
            &json!({"type": event_type, "kind": event.kind, "id": id, "source": source, "event": body}),
        );
    }
    output::line(&format!("{}  {}", output::printable(&event.event_type), output::printable(&text)))
}

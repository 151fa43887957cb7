//! Starts one private server, prints its URI, and keeps it until Ctrl-C.

use std::io::Write;

use sap_comm_testkit::{Postgres, RabbitNode, Redis};

const USAGE: &str = "usage: private-server rabbitmq|postgres|redis";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let kind = std::env::args().nth(1);
    let (uri, server): (String, Box<dyn std::any::Any>) = match kind.as_deref() {
        Some("rabbitmq") => {
            let node = RabbitNode::start().await?;
            (node.uri(), Box::new(node))
        }
        Some("postgres") => {
            let postgres = Postgres::start().await?;
            (postgres.new_database().await?, Box::new(postgres))
        }
        Some("redis") => {
            let redis = Redis::start().await?;
            (redis.url(), Box::new(redis))
        }
        _ => return Err(USAGE.into()),
    };
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{uri}")?;
    stdout.flush()?;
    eprintln!("Ctrl-C stops the server and removes its data.");
    tokio::signal::ctrl_c().await?;
    drop(server);
    Ok(())
}

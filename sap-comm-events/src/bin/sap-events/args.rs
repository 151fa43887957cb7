//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use sap_comm_events::TlsConfig;

use crate::failure::Failure;

/// Looks after the events of a RabbitMQ.
#[derive(Debug, Parser)]
#[command(name = "sap-events", version, after_help = CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const CODES: &str = "\
Exit codes:
  0  done
  1  failed on the way
  2  wrong usage
  3  the topology differs
  4  the broker cannot be entered
  5  there is no such queue or exchange";

#[derive(Debug, Args)]
pub(crate) struct Connection {
    /// The broker, as amqp://user:password@host/vhost
    #[arg(long, env = "SAP_BROKER", hide_env_values = true, global = true)]
    url: Option<String>,
    /// How long to try to reach it
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration, global = true)]
    pub(crate) timeout: Duration,
    /// Certificates to trust besides the machine's, PEM
    #[arg(long, value_name = "FILE", global = true)]
    ca_file: Option<PathBuf>,
    /// Our own certificate, PEM
    #[arg(long, value_name = "FILE", global = true, requires = "key_file")]
    cert_file: Option<PathBuf>,
    /// The key of our own certificate, PEM
    #[arg(long, value_name = "FILE", global = true, requires = "cert_file")]
    key_file: Option<PathBuf>,
    /// RabbitMQ's management API, as http://user:password@host:15672 or https://…:15671
    #[arg(long, env = "SAP_BROKER_MANAGEMENT", hide_env_values = true, value_name = "URL", global = true)]
    pub(crate) management: Option<String>,
}

impl Connection {
    pub(crate) fn url(&self) -> Result<&str, Failure> {
        self.url.as_deref().ok_or_else(|| Failure::usage("--url or SAP_BROKER must name the broker"))
    }

    /// The virtual host of the URL.
    pub(crate) fn vhost(&self) -> Result<String, Failure> {
        // Of several broker addresses the first: they are nodes of one broker.
        let urls = self.url()?;
        let others = urls.match_indices(',').find(|(at, _)| urls[at + 1..].trim_start().starts_with("amqp"));
        let first = others.map_or(urls, |(at, _)| &urls[..at]);
        let url = url::Url::parse(first).map_err(|error| Failure::usage(format!("--url: {error}")))?;
        let path = url.path().trim_start_matches('/');
        let vhost = percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned();
        Ok(if vhost.is_empty() { "/".to_owned() } else { vhost })
    }

    pub(crate) fn tls(&self) -> TlsConfig {
        let mut tls = TlsConfig::default();
        tls.ca_file.clone_from(&self.ca_file);
        tls.cert_file.clone_from(&self.cert_file);
        tls.key_file.clone_from(&self.key_file);
        tls
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Events that could not be handled
    #[command(subcommand)]
    DeadLetters(DeadLetters),
    /// Show what is published to an exchange, live; takes nothing from anybody
    Tail(Tail),
    /// What services declare, and what the broker has
    #[command(subcommand)]
    Topology(Topology),
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadLetters {
    /// Count the dead letters of each queue
    List {
        /// The queues, such as user.events.audit; all of them with --topology or --management
        queues: Vec<String>,
        /// The exported topology of a service, JSON
        #[arg(long, value_name = "FILE")]
        topology: Option<PathBuf>,
    },
    /// Show dead letters, oldest first, and leave them where they are
    Peek {
        #[command(flatten)]
        selection: Selection,
        /// Show the events themselves too
        #[arg(long)]
        events: bool,
    },
    /// Send dead letters back to the queue that they came from
    Redrive {
        #[command(flatten)]
        selection: Selection,
        #[command(flatten)]
        pace: Pace,
        /// Publish them to this exchange instead: every group that wants them gets them again
        #[arg(long, value_name = "EXCHANGE")]
        to_exchange: Option<String>,
    },
    /// Remove dead letters for good
    Purge {
        #[command(flatten)]
        selection: Selection,
        #[command(flatten)]
        pace: Pace,
        /// Do so without being asked again
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// The queue that they come from, such as user.events.audit
    pub(crate) queue: String,
    /// Of this event type or pattern, such as user.*
    #[arg(long = "type", value_name = "PATTERN")]
    pub(crate) types: Vec<String>,
    /// Published by this service
    #[arg(long = "source", value_name = "SERVICE")]
    pub(crate) sources: Vec<String>,
    /// Failed with this code
    #[arg(long = "code", value_name = "CODE")]
    pub(crate) codes: Vec<String>,
    /// With this event id
    #[arg(long = "id", value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// Dead for at least this long, such as 1h
    #[arg(long, value_name = "AGE", value_parser = humantime::parse_duration)]
    pub(crate) older_than: Option<Duration>,
    /// Dead for less than this, such as 30m
    #[arg(long, value_name = "AGE", value_parser = humantime::parse_duration)]
    pub(crate) younger_than: Option<Duration>,
    /// No more than so many
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct Pace {
    /// No more than so many a second
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<f64>,
    /// Only count what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// No progress on stderr
    #[arg(long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Tail {
    /// The exchange, such as user.events
    pub(crate) exchange: String,
    /// Only events of this type or pattern, such as user.*
    #[arg(long = "type", value_name = "PATTERN", default_value = "#")]
    pub(crate) types: Vec<String>,
    /// End after so many events
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Topology {
    /// Name every difference between what a service declares and what the broker has
    Diff {
        /// The exported topology of the service, JSON
        #[arg(long, value_name = "FILE")]
        topology: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Arguments {
        #[command(flatten)]
        connection: Connection,
    }

    #[test]
    fn of_several_addresses_the_first_names_the_virtual_host() {
        for (url, vhost) in [
            ("amqp://u:p@a/v", "v"),
            ("amqp://u:p@a", "/"),
            ("amqp://u:p@a/%2fv, amqps://u:secret@b/w", "/v"),
            ("amqp://u:p@a/v,w", "v,w"),
        ] {
            let arguments = Arguments::try_parse_from(["x", "--url", url]).unwrap();
            assert_eq!(arguments.connection.vhost().unwrap(), vhost, "{url}");
        }
    }
}

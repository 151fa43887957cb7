//! A broker's address without what nobody may read.

use serde_json::{Value, json};
use url::Url;

use super::AsyncApiError;

#[derive(Debug)]
pub(super) struct Server {
    protocol: String,
    host: String,
    vhost: String,
}

impl Server {
    pub(super) fn parse(name: &str, url: &str) -> Result<Self, AsyncApiError> {
        let refuse = |reason: String| AsyncApiError::Server { name: name.to_owned(), reason };
        let url = Url::parse(url).map_err(|error| refuse(error.to_string()))?;
        if !matches!(url.scheme(), "amqp" | "amqps") {
            return Err(refuse(format!("scheme {:?} is none of amqp, amqps", url.scheme())));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("credentials do not belong in a document".to_owned()));
        }
        let host = match (url.host_str(), url.port()) {
            (None | Some(""), _) => return Err(refuse("the host is missing".to_owned())),
            (Some(host), None) => host.to_owned(),
            (Some(host), Some(port)) => format!("{host}:{port}"),
        };
        Ok(Self { protocol: url.scheme().to_owned(), host, vhost: url.path().to_owned() })
    }

    pub(super) fn describe(&self) -> Value {
        let mut server = json!({ "host": self.host, "protocol": self.protocol, "protocolVersion": "0.9.1" });
        if !matches!(self.vhost.as_str(), "" | "/") {
            server["pathname"] = self.vhost.as_str().into();
        }
        server
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_host_protocol_and_vhost() {
        let server = Server::parse("a", "amqps://rabbit.example.com:5671/sap").unwrap().describe();
        let expected = json!({
            "host": "rabbit.example.com:5671", "protocol": "amqps", "protocolVersion": "0.9.1", "pathname": "/sap",
        });
        assert_eq!(server, expected);
    }

    #[test]
    fn what_is_no_public_address_is_refused() {
        for (url, named) in [
            ("memory://", "memory"),
            ("amqp://user:secret@host", "credentials"),
            ("amqp://", "host"),
            ("host:5672", "host"),
            ("", "relative"),
        ] {
            let error = Server::parse("a", url).unwrap_err().to_string();
            assert!(error.contains(named) && !error.contains("secret"), "{url}: {error}");
        }
    }
}

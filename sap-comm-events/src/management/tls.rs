//! Connections to the management API, encrypted where its URL says so.

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use sap_comm_core::config::ConfigError;

use crate::{TlsConfig, tls::client_config};

pub(super) fn connector(tls: &TlsConfig) -> Result<HttpsConnector<HttpConnector>, ConfigError> {
    Ok(HttpsConnectorBuilder::new().with_tls_config(client_config(tls)?).https_or_http().enable_http1().build())
}

/// What the TLS library said, if it is the cause.
pub(super) fn cause(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Some(error.to_string());
        }
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

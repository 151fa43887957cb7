use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use rustls::{RootCertStore, pki_types::ServerName, sign::SingleCertAndKey};
use sap_comm_core::{
    BoxError,
    config::{ConfigError, duration},
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{
    Transport,
    files::{PemFile, certified},
    live::{Live, Source},
    provider,
    server::default_reload_interval,
    unverified::Unverified,
};
use crate::options::{check, check_duration};

/// Whom a client trusts, and what it shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ClientTlsConfig {
    /// The PEM file of the authorities to trust, in place of the system's.
    pub ca: Option<PathBuf>,
    /// The PEM file of the client's own certificate, for mutual TLS.
    pub cert: Option<PathBuf>,
    /// The PEM file of its private key.
    pub key: Option<PathBuf>,
    /// The name that every server's certificate must bear, where endpoints are addresses. Default: the endpoint's host.
    pub server_name: Option<String>,
    /// Takes any server for the one that was meant: whoever stands in between reads and changes everything. Default no.
    pub insecure_skip_verification: bool,
    /// How old the last look at the files may be when a connection is made. Default 30 s; after a look that saw a change, 1 s at most, since
    /// of files that were written within the last second only what two looks have seen is taken.
    #[serde(with = "duration")]
    pub reload_interval: Duration,
}

impl Default for ClientTlsConfig {
    fn default() -> Self {
        Self {
            ca: None,
            cert: None,
            key: None,
            server_name: None,
            insecure_skip_verification: false,
            reload_interval: default_reload_interval(),
        }
    }
}

impl ClientTlsConfig {
    /// Trusts the authorities in a PEM file, in place of the system's.
    #[must_use]
    pub fn ca(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca = Some(path.into());
        self
    }

    /// Shows a certificate, for mutual TLS.
    #[must_use]
    pub fn identity(mut self, cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        (self.cert, self.key) = (Some(cert.into()), Some(key.into()));
        self
    }

    /// Expects this name of every server, in place of the endpoint's host.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Checks what needs no file.
    ///
    /// # Errors
    /// Names the first field that cannot be used, and its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        match (&self.cert, &self.key) {
            (Some(_), None) => return Err(ConfigError::new("key", "is missing, and there is a `cert`")),
            (None, Some(_)) => return Err(ConfigError::new("cert", "is missing, and there is a `key`")),
            _ => {}
        }
        let verified = !self.insecure_skip_verification;
        check(verified || self.ca.is_none(), "insecure_skip_verification", true, "would never look at `ca`")?;
        if let Some(name) = &self.server_name {
            server_name(name).map_err(|error| ConfigError::refused("server_name", name, error))?;
        }
        check_duration("reload_interval", self.reload_interval)
    }
}

/// The TLS of a client, in use. Cheap to clone; clones share certificates and sessions.
///
/// The default trusts the system's authorities, which are read when the first connection is made.
#[derive(Clone)]
pub struct ClientTls(Arc<Inner>);

struct Inner {
    config: ClientTlsConfig,
    /// Made with the first connection where the system's authorities are trusted, since many a client never needs them.
    live: OnceLock<Arc<Live<Files>>>,
}

impl Default for ClientTls {
    fn default() -> Self {
        Self(Arc::new(Inner { config: ClientTlsConfig::default(), live: OnceLock::new() }))
    }
}

impl ClientTls {
    /// Whether it has a certificate of its own.
    pub(crate) fn shows_certificate(&self) -> bool {
        self.0.config.cert.is_some()
    }
}

/// Where the certificates are.
#[derive(Debug)]
struct Files(ClientTlsConfig);

impl Source for Files {
    type Made = rustls::ClientConfig;

    fn read(&self) -> Result<Vec<PemFile>, ConfigError> {
        let named = [("ca", &self.0.ca), ("cert", &self.0.cert), ("key", &self.0.key)];
        let named = named.into_iter().filter_map(|(field, path)| Some((field, path.as_deref()?)));
        named.map(|(field, path)| PemFile::read(field, path)).collect()
    }

    fn make(&self, files: &[PemFile]) -> Result<rustls::ClientConfig, ConfigError> {
        let (ca, identity) = match (&self.0.ca, files) {
            (Some(_), [ca, identity @ ..]) => (Some(ca), identity),
            (_, identity) => (None, identity),
        };
        let builder = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| ConfigError::new("tls", error))?;
        let builder = if self.0.insecure_skip_verification {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider())))
        } else {
            builder.with_root_certificates(ca.map_or_else(system_authorities, PemFile::authorities)?)
        };
        let mut config = match identity {
            [cert, key] => {
                let (certified, until) = certified(cert, key)?;
                tracing::debug!(valid_until = %until, "client certificate loaded");
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn system_authorities() -> Result<Arc<RootCertStore>, ConfigError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, ignored) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let errors: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        let reason = format!("is missing, and this system has no certificate authorities ({})", errors.join("; "));
        return Err(ConfigError::new("ca", reason));
    }
    tracing::debug!(added, ignored, "the system's certificate authorities read");
    Ok(Arc::new(roots))
}

impl ClientTls {
    /// Reads the files.
    ///
    /// # Errors
    /// Names the option, the file, and why it cannot be used: missing, without a certificate or key in it, a key of another
    /// certificate, expired.
    pub fn load(config: ClientTlsConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        let named = config.ca.is_some() || config.cert.is_some();
        let tls = Self(Arc::new(Inner { config, live: OnceLock::new() }));
        if named {
            tls.live()?;
        }
        Ok(tls)
    }

    /// Looks at the files now; says whether they had changed. Open connections stay, further ones use the new certificates.
    ///
    /// It reads files, so that it may block for a moment.
    ///
    /// # Errors
    /// As [`ClientTls::load`]; the old certificates stay.
    pub fn reload(&self) -> Result<bool, ConfigError> {
        self.live()?.reload()
    }

    fn live(&self) -> Result<&Arc<Live<Files>>, ConfigError> {
        if let Some(live) = self.0.live.get() {
            return Ok(live);
        }
        let config = &self.0.config;
        let live = Arc::new(Live::new(Files(config.clone()), config.reload_interval)?);
        Ok(self.0.live.get_or_init(|| live))
    }

    /// Makes TLS of a connection to `host`, and verifies who answers.
    pub(crate) async fn connect(&self, host: &str, stream: TcpStream) -> Result<Transport, BoxError> {
        if self.0.live.get().is_none() {
            let tls = self.clone();
            tokio::task::spawn_blocking(move || tls.live().map(drop)).await??;
        }
        let config = self.live()?.current().await;
        let host = self.0.config.server_name.as_deref().unwrap_or(host);
        let failed = |error: &dyn fmt::Display| BoxError::from(format!("no TLS with {host}: {error}"));
        let name = server_name(host).map_err(|error| failed(&error))?;
        let stream = TlsConnector::from(config).connect(name, stream).await.map_err(|error| failed(&error))?;
        Ok(Transport::Tls(Box::new(stream.into())))
    }
}

/// A host name or an address, the latter with or without the brackets of a URI.
fn server_name(host: &str) -> Result<ServerName<'static>, String> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(bare.to_owned()).map_err(|error| error.to_string())
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClientTls").field(&self.0.config).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_contradict_each_other_are_named() {
        let refused = |config: ClientTlsConfig| config.validate().unwrap_err().to_string();
        let mut half = ClientTlsConfig::default().identity("cert.pem", "key.pem");
        half.key = None;
        assert_eq!(refused(half), "configuration: key: is missing, and there is a `cert`");
        let mut blind = ClientTlsConfig::default().ca("ca.pem");
        blind.insecure_skip_verification = true;
        assert_eq!(refused(blind), "configuration: `insecure_skip_verification` = true: would never look at `ca`");
        assert!(refused(ClientTlsConfig::default().server_name("not a name")).contains("`server_name` = not a name"));
        for name in ["user-service", "127.0.0.1", "::1", "[::1]"] {
            assert_eq!(ClientTlsConfig::default().server_name(name).validate(), Ok(()), "{name}");
        }
    }
}

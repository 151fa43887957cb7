//! Which of several certificates a server shows: by the name that the client asks for.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use sap_comm_core::config::ConfigError;
use serde::{Deserialize, Serialize};

use super::{
    PeerCertificate,
    files::{PemFile, certified},
    live::{Live, Source},
};

/// A further certificate of a server, for the clients that ask for one of the host names in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct NamedCertificate {
    /// The PEM file of the certificate, followed by those between it and the authority.
    pub cert: PathBuf,
    /// The PEM file of its private key.
    pub key: PathBuf,
}

impl NamedCertificate {
    /// A certificate and its key.
    pub fn new(cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { cert: cert.into(), key: key.into() }
    }
}

/// A certificate as it is shown.
#[derive(Debug)]
pub(super) struct Shown {
    certified: Arc<CertifiedKey>,
    names: Vec<String>,
}

impl Source for NamedCertificate {
    type Made = Shown;

    fn read(&self) -> Result<Vec<PemFile>, ConfigError> {
        Ok(vec![PemFile::read("cert", &self.cert)?, PemFile::read("key", &self.key)?])
    }

    fn make(&self, files: &[PemFile]) -> Result<Shown, ConfigError> {
        let [cert, key] = files else {
            return Err(ConfigError::new("cert", "was not read"));
        };
        let (certified, until) = certified(cert, key)?;
        let leaf = certified.cert.first().map(PeerCertificate::parse).transpose();
        let leaf = leaf.map_err(|reason| cert.refused(format_args!("cannot be read: {reason}")))?;
        let names = leaf.map(|leaf| leaf.dns_names).unwrap_or_default();
        if names.is_empty() {
            return Err(cert.refused("bears no host name that a client could ask for"));
        }
        tracing::debug!(cert = %self.cert.display(), valid_until = %until, ?names, "certificate loaded");
        Ok(Shown { certified: Arc::new(certified), names })
    }
}

/// How well a certificate fits a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Wildcard,
    Exact,
}

impl Shown {
    /// RFC 9525, section 6.3: a wildcard stands for one whole label, the first.
    fn fit(&self, asked: &str) -> Option<Fit> {
        let below = asked.split_once('.').filter(|(label, _)| !label.is_empty()).map(|(_, rest)| rest);
        let fits = self.names.iter().filter_map(|name| match name.strip_prefix("*.") {
            Some(parent) => (below == Some(parent)).then_some(Fit::Wildcard),
            None => (name == asked).then_some(Fit::Exact),
        });
        fits.max()
    }
}

/// Shows the further certificate that bears the name asked for, and the default one to everybody else.
#[derive(Debug)]
pub(super) struct ByName {
    pub(super) default: Arc<CertifiedKey>,
    pub(super) further: Arc<[Arc<Live<NamedCertificate>>]>,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let found = hello.server_name().and_then(|asked| self.find(&asked.to_ascii_lowercase()));
        Some(found.unwrap_or_else(|| Arc::clone(&self.default)))
    }
}

impl ByName {
    /// The one that bears the whole name before one with a wildcard, and of equals the first.
    fn find(&self, asked: &str) -> Option<Arc<CertifiedKey>> {
        let mut best: Option<(Fit, Arc<Shown>)> = None;
        for live in self.further.iter() {
            let shown = live.loaded();
            let Some(fit) = shown.fit(asked) else { continue };
            if best.as_ref().is_none_or(|(known, _)| fit > *known) {
                best = Some((fit, shown));
            }
        }
        best.map(|(_, shown)| Arc::clone(&shown.certified))
    }
}

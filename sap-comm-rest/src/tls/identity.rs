use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use sap_comm_core::Timestamp;
use x509_parser::{
    certificate::X509Certificate,
    extensions::GeneralName,
    prelude::{ASN1Time, FromDer},
};

/// What is known about a request's connection when it came over TLS; an extension of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsConnection {
    /// The certificate that the client showed, verified; `None` when none was asked for or shown.
    pub peer: Option<Arc<PeerCertificate>>,
    /// The name that the client asked for.
    pub server_name: Option<Arc<str>>,
}

/// Whom a verified certificate was issued to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerCertificate {
    /// The common name of the subject.
    pub common_name: Option<String>,
    /// The host names among the subject's alternative names.
    pub dns_names: Vec<String>,
    /// The URIs among the subject's alternative names, such as a SPIFFE id.
    pub uris: Vec<String>,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// One name that a certificate may bear; matched as a whole, and without wildcards.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CertificateName {
    /// A URI among the alternative names: `spiffe://example.org/user-service`.
    Uri(String),
    /// A host name among the alternative names, in lower case.
    Dns(String),
    /// The common name of the subject; it counts only where there are no alternative names.
    CommonName(String),
}

impl PeerCertificate {
    pub(super) fn parse(der: &CertificateDer<'_>) -> Result<Self, String> {
        let certificate = parse(der)?;
        let mut common_names = certificate.subject().iter_common_name();
        let common_name = common_names.next().and_then(|name| name.as_str().ok()).map(str::to_owned);
        let mut peer = Self {
            // Two names are none: who is meant would depend on who reads it.
            common_name: common_name.filter(|_| common_names.next().is_none()),
            dns_names: Vec::new(),
            uris: Vec::new(),
            expires_at: timestamp(certificate.validity().not_after),
        };
        let names = certificate.subject_alternative_name().map_err(|error| error.to_string())?;
        for name in names.iter().flat_map(|names| &names.value.general_names) {
            match name {
                GeneralName::DNSName(name) => peer.dns_names.push(name.to_ascii_lowercase()),
                GeneralName::URI(uri) => peer.uris.push((*uri).to_owned()),
                _ => {}
            }
        }
        Ok(peer)
    }

    /// The names by which it may be known, the most specific first.
    pub fn names(&self) -> impl Iterator<Item = CertificateName> + '_ {
        let uris = self.uris.iter().cloned().map(CertificateName::Uri);
        let hosts = self.dns_names.iter().cloned().map(CertificateName::Dns);
        let alone = self.uris.is_empty() && self.dns_names.is_empty();
        let common = self.common_name.iter().filter(move |_| alone).cloned().map(CertificateName::CommonName);
        uris.chain(hosts).chain(common)
    }
}

/// From when until when a certificate is valid.
#[derive(Debug, Clone, Copy)]
pub(super) struct Validity {
    from: Timestamp,
    pub(super) until: Timestamp,
}

impl Validity {
    pub(super) fn of(der: &CertificateDer<'_>) -> Result<Self, String> {
        let certificate = parse(der)?;
        let validity = certificate.validity();
        Ok(Self { from: timestamp(validity.not_before), until: timestamp(validity.not_after) })
    }

    pub(super) fn check(&self, now: Timestamp) -> Result<(), String> {
        if now > self.until {
            return Err(format!("the certificate expired at {}", self.until));
        }
        if now < self.from {
            return Err(format!("the certificate is not valid before {}", self.from));
        }
        Ok(())
    }
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, String> {
    match X509Certificate::from_der(der) {
        Ok((_, certificate)) => Ok(certificate),
        Err(error) => Err(error.to_string()),
    }
}

fn timestamp(time: ASN1Time) -> Timestamp {
    Timestamp::from_millis(time.timestamp().saturating_mul(1_000))
}

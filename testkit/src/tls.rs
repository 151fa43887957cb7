//! A certificate authority for one test.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType, date_time_ymd,
};

use crate::TestkitError;

/// A certificate and its private key, both PEM.
#[derive(Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The private key, PKCS #8.
    pub key: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// A certificate authority that signs servers and clients.
#[derive(Debug)]
pub struct TestCa {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl TestCa {
    /// A new authority, trusted by nobody yet.
    pub fn new() -> Result<Self, TestkitError> {
        let key = KeyPair::generate().map_err(error)?;
        let mut params = named("sap-comm test authority", &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(error)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    /// The authority's certificate, PEM: what a client trusts.
    pub fn pem(&self) -> &str {
        &self.certificate
    }

    /// A server's identity for these host names and addresses.
    pub fn server(&self, names: &[&str]) -> Result<Identity, TestkitError> {
        self.sign(named(names.first().copied().unwrap_or("server"), names)?, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A server's identity that was good until the end of the year 2000.
    pub fn expired_server(&self, names: &[&str]) -> Result<Identity, TestkitError> {
        let mut params = named(names.first().copied().unwrap_or("server"), names)?;
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1));
        self.sign(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client's identity for mutual TLS.
    pub fn client(&self, name: &str) -> Result<Identity, TestkitError> {
        self.sign(named(name, &[])?, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A client's identity that bears host names, addresses and URIs (`spiffe://…`) as well.
    pub fn client_named(&self, name: &str, names: &[&str]) -> Result<Identity, TestkitError> {
        self.sign(named(name, names)?, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Result<Identity, TestkitError> {
        let key = KeyPair::generate().map_err(error)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer).map_err(error)?.pem();
        Ok(Identity { certificate, key: key.serialize_pem() })
    }
}

fn named(name: &str, names: &[&str]) -> Result<CertificateParams, TestkitError> {
    let (uris, hosts): (Vec<_>, Vec<_>) =
        names.iter().map(|&name| name.to_owned()).partition(|name| name.contains("://"));
    let mut params = CertificateParams::new(hosts).map_err(error)?;
    for uri in uris {
        params.subject_alt_names.push(SanType::URI(uri.try_into().map_err(error)?));
    }
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

#[expect(clippy::needless_pass_by_value, reason = "map_err hands the error over")]
fn error(error: rcgen::Error) -> TestkitError {
    TestkitError::Certificate(error.to_string())
}

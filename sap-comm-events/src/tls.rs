//! TLS as a client: whom to trust, and who we are.

use std::{fmt, path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use sap_comm_core::config::ConfigError;

use crate::TlsConfig;

/// Verifies a server against the machine's authorities and those of `tls`, and shows its identity if it has one.
pub(crate) fn client_config(tls: &TlsConfig) -> Result<ClientConfig, ConfigError> {
    tls.validate()?;
    let mut roots = RootCertStore::empty();
    // One that cannot be read is one authority less, and a connection that needs it says so.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(file) = &tls.ca_file {
        for certificate in certificates("tls.ca_file", file)? {
            roots.add(certificate).map_err(|error| invalid("tls.ca_file", file, error))?;
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| ConfigError::new("tls", error))?
        .with_root_certificates(roots);
    Ok(match (&tls.cert_file, &tls.key_file) {
        (Some(certificate), Some(key)) => {
            let chain = certificates("tls.cert_file", certificate)?;
            let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| invalid("tls.key_file", key, error))?;
            builder.with_client_auth_cert(chain, secret).map_err(|error| invalid("tls.key_file", key, error))?
        }
        _ => builder.with_no_client_auth(),
    })
}

fn certificates(option: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|error| invalid(option, file, error))?;
    if certificates.is_empty() {
        return Err(invalid(option, file, "holds no certificate"));
    }
    Ok(certificates)
}

fn invalid(option: &str, file: &Path, reason: impl fmt::Display) -> ConfigError {
    ConfigError::new(option, format_args!("{}: {reason}", file.display()))
}

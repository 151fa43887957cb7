//! Certificates and keys from PEM files; every error names the option, the file and the reason.

use std::{
    fmt::Display,
    hash::{Hash, Hasher},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustls::{
    Error, InconsistentKeys, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use sap_comm_core::{Timestamp, config::ConfigError};

use super::{identity::Validity, provider};

/// A file that an option names, and what was in it.
#[derive(Debug)]
pub(super) struct PemFile {
    field: &'static str,
    path: PathBuf,
    content: Vec<u8>,
    /// How long it had not been written to, where that is known.
    age: Option<Duration>,
}

/// No chain and no bundle of authorities comes near.
const MAX_FILE: u64 = 8 * 1024 * 1024;

impl PemFile {
    pub(super) fn read(field: &'static str, path: &Path) -> Result<Self, ConfigError> {
        let file = Self { field, path: path.to_owned(), content: Vec::new(), age: None };
        let length = std::fs::metadata(path).map_err(|error| file.refused(error))?.len();
        if length > MAX_FILE {
            return Err(file.refused(format_args!("has {length} bytes; at most {MAX_FILE} are read")));
        }
        let content = std::fs::read(path).map_err(|error| file.refused(error))?;
        // Asked behind the content: whatever was written before shows.
        let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified());
        let age = modified.ok().and_then(|modified| modified.elapsed().ok());
        Ok(Self { content, age, ..file })
    }

    /// Whether nobody has written to it for so long.
    pub(super) fn rests_for(&self, time: Duration) -> bool {
        self.age.is_some_and(|age| age >= time)
    }

    pub(super) fn refused(&self, reason: impl Display) -> ConfigError {
        ConfigError::refused(self.field, self.path.display(), reason)
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
        let certificates = CertificateDer::pem_slice_iter(&self.content).collect::<Result<Vec<_>, _>>();
        let certificates = certificates.map_err(|error| self.refused(format_args!("is not PEM: {error}")))?;
        if certificates.is_empty() {
            return Err(self.refused("has no certificate in it (-----BEGIN CERTIFICATE-----)"));
        }
        Ok(certificates)
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, ConfigError> {
        use rustls::pki_types::pem::Error as PemError;
        PrivateKeyDer::from_pem_slice(&self.content).map_err(|error| match error {
            PemError::NoItemsFound => self.refused("has no private key in it (-----BEGIN PRIVATE KEY-----)"),
            error => self.refused(format_args!("is not PEM: {error}")),
        })
    }

    /// The certificates as authorities to trust.
    pub(super) fn authorities(&self) -> Result<Arc<RootCertStore>, ConfigError> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            roots.add(certificate).map_err(|error| self.refused(format_args!("is no authority's: {error}")))?;
        }
        Ok(Arc::new(roots))
    }
}

/// The authorities in a file, as PEM, for a library that has TLS of its own.
#[cfg(feature = "redis")]
pub(crate) fn read_authorities(field: &'static str, path: &Path) -> Result<Vec<u8>, ConfigError> {
    let file = PemFile::read(field, path)?;
    file.authorities()?;
    Ok(file.content)
}

/// Of what it says, not of when that was written.
impl Hash for PemFile {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.field, &self.path, &self.content).hash(state);
    }
}

/// A certificate chain with its key, after checking that they belong together and are valid now.
pub(super) fn certified(cert: &PemFile, key: &PemFile) -> Result<(CertifiedKey, Timestamp), ConfigError> {
    let chain = cert.certificates()?;
    let leaf = chain.first().ok_or_else(|| cert.refused("has no certificate in it"))?;
    let validity = Validity::of(leaf).map_err(|reason| cert.refused(format_args!("cannot be read: {reason}")))?;
    validity.check(Timestamp::now()).map_err(|reason| cert.refused(reason))?;
    let private = key.private_key()?;
    let certified = CertifiedKey::from_der(chain, private, &provider()).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            key.refused(format_args!("is not the key of the certificate in {}", cert.path.display()))
        }
        Error::InvalidCertificate(error) => cert.refused(format_args!("cannot be used: {error:?}")),
        error => key.refused(format_args!("cannot be used: {error}")),
    })?;
    Ok((certified, validity.until))
}

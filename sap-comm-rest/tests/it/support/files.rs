use std::path::PathBuf;

use sap_comm_testkit::tls::Identity;
use tempfile::TempDir;

/// Files that a test writes and replaces.
pub(crate) struct Files(TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Replaces a file as a whole, as an operator would.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let next = self.path(&format!("{name}.next"));
        std::fs::write(&next, text).unwrap();
        std::fs::rename(next, self.path(name)).unwrap();
        self.path(name)
    }

    /// Writes `{name}.pem` and `{name}.key`, one after the other.
    pub(crate) fn identity(&self, name: &str, identity: &Identity) -> (PathBuf, PathBuf) {
        let cert = self.write(&format!("{name}.pem"), &identity.certificate);
        (cert, self.write(&format!("{name}.key"), &identity.key))
    }
}

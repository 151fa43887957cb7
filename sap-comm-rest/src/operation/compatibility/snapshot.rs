use std::{fs, io, path::Path};

use serde_json::Value;

use super::{Change, compare};

/// Set to anything, it has [`check_snapshot`] write the snapshot anew.
const ACCEPT: &str = "SAP_ACCEPT_OPENAPI";

/// Why a document does not fit its snapshot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// There is no snapshot yet.
    #[error("there is no snapshot {path}; {ACCEPT}=1 makes it: commit it then")]
    Missing {
        /// Where it should be.
        path: String,
    },
    /// The document breaks callers.
    #[error(
        "the document breaks callers of {path}:{}\nServe a new version beside the old one instead, or accept the changes \
         with {ACCEPT}=1 and commit the snapshot.",
        .changes.iter().map(|change| format!("\n  {change}")).collect::<String>()
    )]
    Breaking {
        /// The snapshot.
        path: String,
        /// What breaks them.
        changes: Vec<Change>,
    },
    /// The snapshot cannot be read or written.
    #[error("the snapshot {path} cannot be used: {source}")]
    Io {
        /// The snapshot.
        path: String,
        /// Why not.
        source: io::Error,
    },
}

/// Compares an OpenAPI document with its committed snapshot; for a test of the service.
///
/// ```no_run
/// # const USERS: sap_comm_rest::operation::Contract = sap_comm_rest::operation::Contract::new("user-service", &[]);
/// use sap_comm_rest::operation::compatibility::check_snapshot;
///
/// #[test]
/// fn callers_of_the_service_are_not_broken() {
///     if let Err(error) = check_snapshot("openapi/user-service.json", &USERS.openapi()) {
///         panic!("{error}");
///     }
/// }
/// ```
///
/// Changes that break nobody pass, and are returned; record them too, so that what is new is guarded from then on. With
/// the environment variable `SAP_ACCEPT_OPENAPI` the snapshot is written anew and everything passes.
///
/// # Errors
/// When a change breaks callers, or there is no snapshot.
pub fn check_snapshot(path: impl AsRef<Path>, document: &Value) -> Result<Vec<Change>, SnapshotError> {
    let path = path.as_ref();
    let shown = path.display().to_string();
    let before = match fs::read(path) {
        Ok(bytes) => Some(serde_json::from_slice(&bytes).map_err(io::Error::from)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => Some(Err(error)),
    };
    let before: Option<Value> =
        before.transpose().map_err(|source| SnapshotError::Io { path: shown.clone(), source })?;
    if std::env::var_os(ACCEPT).is_some() {
        write(path, document).map_err(|source| SnapshotError::Io { path: shown, source })?;
        return Ok(before.map(|before| compare(&before, document)).unwrap_or_default());
    }
    let Some(before) = before else { return Err(SnapshotError::Missing { path: shown }) };
    let changes = compare(&before, document);
    if changes.iter().any(|change| change.breaking) {
        let changes = changes.into_iter().filter(|change| change.breaking).collect();
        return Err(SnapshotError::Breaking { path: shown, changes });
    }
    Ok(changes)
}

fn write(path: &Path, document: &Value) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut text = serde_json::to_string_pretty(document)?;
    text.push('\n');
    fs::write(path, text)
}

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::BenchError;

/// Lets this process hold as many connections as the system allows it.
pub(crate) fn raise_limit() -> Result<u64, BenchError> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(BenchError::refused("read the limit of open files"))?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_err(BenchError::refused("raise the limit of open files"))?;
    Ok(hard)
}

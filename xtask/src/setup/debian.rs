//! Debian packages, without starting the services that they bring.

use std::{
    collections::BTreeSet,
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use crate::{command::Run, error::TaskError};

const POLICY: &str = "/usr/sbin/policy-rc.d";
/// 101: the action is forbidden by policy.
const FORBID: &str = "#!/bin/sh\nexit 101\n";

/// Whether this is Debian or a relative, and we are root.
pub(super) fn may_install() -> bool {
    Path::new("/usr/bin/apt-get").is_file() && fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Installs packages while no service may start.
pub(super) fn install(packages: &BTreeSet<&str>) -> Result<(), TaskError> {
    let _quiet = NoServices::new()?;
    let apt = || Run::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive");
    apt().args(["update", "--quiet=2"]).show_on_stderr()?;
    apt().args(["install", "--quiet=2", "--yes", "--no-install-recommends"]).args(packages).show_on_stderr()
}

/// Forbids services to start for as long as it lives, unless a policy is there already.
struct NoServices {
    ours: bool,
}

impl NoServices {
    fn new() -> Result<Self, TaskError> {
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        let write = || -> std::io::Result<()> {
            fs::write(POLICY, FORBID)?;
            fs::set_permissions(POLICY, Permissions::from_mode(0o755))
        };
        write().map_err(|source| TaskError::Unwritable { path: POLICY.to_owned(), source })?;
        Ok(Self { ours: true })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(POLICY)
        {
            eprintln!("warning: {POLICY} could not be removed: {error}");
        }
    }
}

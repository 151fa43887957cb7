//! Pingora is built when it is asked for: by a package of its own, outside of the workspace.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::BenchError;

const PROGRAM: &str = "sap-comm-twin-pingora";

/// How the twin is built.
#[derive(Clone, Copy, Debug)]
pub(super) enum Build {
    /// By cargo's release profile as it is, and with the system's allocator.
    Plain,
    /// As ours and the other proxies in Rust: linked as one unit, with mimalloc.
    Tuned,
}

impl Build {
    fn profile(self) -> &'static str {
        match self {
            Self::Plain => "release",
            Self::Tuned => "tuned",
        }
    }

    fn features(self) -> &'static [&'static str] {
        match self {
            Self::Plain => &[],
            Self::Tuned => &["--features", "mimalloc"],
        }
    }

    /// Builds the twin beside this program's own target directory, and says where it is. The first time takes minutes.
    pub(super) async fn run(self) -> Result<PathBuf, BenchError> {
        let this = std::env::current_exe().map_err(BenchError::refused("find this program"))?;
        let target =
            this.ancestors().nth(2).ok_or_else(|| BenchError::refused("find the target directory")("there is none"))?;
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("twins/pingora/Cargo.toml");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["build", "--quiet", "--locked", "--profile", self.profile(), "--manifest-path"]).arg(manifest);
        command.args(self.features()).arg("--target-dir").arg(target).stdout(std::io::stderr());
        let status = command.status().await.map_err(BenchError::refused("run cargo"))?;
        if !status.success() {
            let reason = format!("{status}; it needs cmake; `--peer` chooses others");
            return Err(BenchError::refused("build pingora")(reason));
        }
        Ok(target.join(self.profile()).join(PROGRAM))
    }
}

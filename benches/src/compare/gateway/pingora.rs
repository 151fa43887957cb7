//! Pingora is built when it is asked for: by a package of its own, outside of the workspace.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::BenchError;

const PROGRAM: &str = "sap-comm-twin-pingora";

/// What the twin takes memory from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Allocator {
    /// As the other proxies in Rust.
    Mimalloc,
    /// As most programs on Pingora.
    System,
}

impl Allocator {
    fn features(self) -> &'static [&'static str] {
        match self {
            Self::Mimalloc => &["--features", "mimalloc"],
            Self::System => &[],
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Mimalloc => "mimalloc",
            Self::System => "system-malloc",
        }
    }
}

/// Builds the twin beside this program's own target directory, and says where it is. The first time takes minutes.
pub(super) async fn build(allocator: Allocator) -> Result<PathBuf, BenchError> {
    let this = std::env::current_exe().map_err(BenchError::refused("find this program"))?;
    let target =
        this.ancestors().nth(2).ok_or_else(|| BenchError::refused("find the target directory")("there is none"))?;
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("twins/pingora/Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--locked", "--release", "--manifest-path"]).arg(manifest);
    command.args(allocator.features()).arg("--target-dir").arg(target).stdout(std::io::stderr());
    let status = command.status().await.map_err(BenchError::refused("run cargo"))?;
    if !status.success() {
        let reason = format!("{status}; it needs cmake; `--peer` chooses others");
        return Err(BenchError::refused("build pingora")(reason));
    }
    // Both builds have one name, and the first must outlive the second.
    let built = target.join("release").join(PROGRAM);
    let kept = built.with_file_name(format!("{PROGRAM}-{}", allocator.name()));
    // One that still ends keeps its file.
    let _ = std::fs::remove_file(&kept);
    std::fs::copy(&built, &kept).map_err(BenchError::refused("keep pingora"))?;
    Ok(kept)
}

//! What the tests need of a machine: the one list that errors, READMEs and `cargo xtask test` go by.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::TestkitError;

/// One program and the Debian package that brings it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The part of the test suite that needs it.
    pub part: &'static str,
    /// The program's file name.
    pub program: &'static str,
    /// Where Debian puts it when that is not in `PATH`; a `*` stands for one directory.
    pub places: &'static [&'static str],
    /// The Debian package.
    pub package: &'static str,
}

const fn require(
    part: &'static str,
    program: &'static str,
    places: &'static [&'static str],
    package: &'static str,
) -> Requirement {
    Requirement { part, program, places, package }
}

/// Every program that the tests start.
pub const REQUIREMENTS: &[Requirement] = &[
    require("RabbitMQ", "rabbitmq-server", &["/usr/lib/rabbitmq/bin"], "rabbitmq-server"),
    require("RabbitMQ", "rabbitmqctl", &["/usr/lib/rabbitmq/bin"], "rabbitmq-server"),
    require("RabbitMQ", "epmd", &["/usr/lib/erlang/bin"], "erlang-base"),
    require("RabbitMQ", "erl_call", &["/usr/lib/erlang/bin"], "erlang-base"),
    require("Redis", "redis-server", &[], "redis-server"),
    require("PostgreSQL", "postgres", &["/usr/lib/postgresql/*/bin"], "postgresql"),
    require("PostgreSQL", "initdb", &["/usr/lib/postgresql/*/bin"], "postgresql"),
    require("PostgreSQL", "psql", &["/usr/lib/postgresql/*/bin"], "postgresql"),
    require("PostgreSQL", "pg_isready", &["/usr/lib/postgresql/*/bin"], "postgresql"),
    require("DNS discovery", "named", &[], "bind9"),
    require("DNS discovery", "rndc", &[], "bind9-utils"),
    require("etcd discovery", "etcd", &[], "etcd-server"),
    require("peers of the gateway", "nginx", &[], "nginx"),
    require("peers of the gateway", "haproxy", &[], "haproxy"),
    require("API documents", "virtualenv", &[], "virtualenv"),
    require("every server", "setsid", &[], "util-linux"),
    require("every server", "setpriv", &[], "util-linux"),
    require("Node clients", "node", &[], "nodejs"),
    require("Node clients", "npm", &[], "npm"),
    require("browser clients", "chromium", &[], "chromium"),
];

/// What comparisons need beside that.
pub const COMPARISONS: &[Requirement] = &[require("pingora, a peer of the gateway", "cmake", &[], "cmake")];

/// Searched after `PATH`: where servers live, which the `PATH` of a plain user may lack.
const SYSTEM: &[&str] = &["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

impl Requirement {
    /// The requirement that brings this program.
    pub fn of(program: &str) -> Option<&'static Self> {
        REQUIREMENTS.iter().find(|requirement| requirement.program == program)
    }

    /// The program's path on this machine.
    ///
    /// The package's own directories come first: what lies in `PATH` under the same name may be a wrapper that
    /// changes the user.
    pub fn locate(&self) -> Result<PathBuf, TestkitError> {
        let path = env::var_os("PATH").unwrap_or_default();
        let places = self.places.iter().flat_map(|place| directories(place));
        places
            .chain(env::split_paths(&path))
            .chain(SYSTEM.iter().map(PathBuf::from))
            .map(|dir| dir.join(self.program))
            .find(|candidate| candidate.is_file())
            .ok_or_else(|| TestkitError::Missing {
                program: self.program.to_owned(),
                install: format!("apt-get install {}", self.package),
            })
    }
}

/// The path of a program of [`REQUIREMENTS`], or an error that names its package.
pub fn locate(program: &str) -> Result<PathBuf, TestkitError> {
    Requirement::of(program)
        .ok_or_else(|| TestkitError::Missing {
            program: program.to_owned(),
            install: format!("apt-cache search {program}"),
        })?
        .locate()
}

/// The directories that a place stands for, the highest version first.
fn directories(place: &str) -> Vec<PathBuf> {
    let Some((parent, rest)) = place.split_once("/*") else { return vec![PathBuf::from(place)] };
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let version = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    found.sort_by_key(|path| std::cmp::Reverse(version(path)));
    found.into_iter().map(|path| path.join(rest.trim_start_matches('/'))).collect()
}

/// The directory of the Node scripts and their `package.json`.
pub fn node_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("node")
}

/// Says what `npm ci` would still have to bring into [`node_dir`], nothing when all is there as locked.
pub fn stale_node_packages() -> Result<Vec<String>, TestkitError> {
    let dir = node_dir();
    let locked = packages(&dir.join("package-lock.json"))?;
    let installed = dir.join("node_modules/.package-lock.json");
    let installed = if installed.is_file() { packages(&installed)? } else { Vec::new() };
    Ok(locked.into_iter().filter(|package| !installed.contains(package)).collect())
}

/// Fails, and names one of them, where a package of [`node_dir`] is not there as locked.
pub fn require_node_packages() -> Result<(), TestkitError> {
    let stale = stale_node_packages()?;
    let Some(first) = stale.first() else { return Ok(()) };
    let program = format!("the Node package {first}, one of {} that are absent or of another version,", stale.len());
    Err(TestkitError::Missing { program, install: format!("npm ci --prefix {}", node_dir().display()) })
}

/// The directory of the Python programs' `requirements.txt`.
pub fn python_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python")
}

/// The virtual environment that `requirements.txt` is installed into.
pub fn python_env() -> PathBuf {
    python_dir().join(".venv")
}

/// Whether the environment lacks what `requirements.txt` says now. Whoever installs it puts a copy of that file into the
/// environment once all is there.
pub fn python_env_is_stale() -> Result<bool, TestkitError> {
    let required = python_dir().join("requirements.txt");
    let io = |source| TestkitError::Io { doing: format!("read {}", required.display()), source };
    let required = fs::read(&required).map_err(io)?;
    Ok(fs::read(python_env().join("requirements.txt")).ok() != Some(required))
}

/// The path of a Python program that `requirements.txt` brings, or an error that says how to install it.
pub fn locate_python(program: &str) -> Result<PathBuf, TestkitError> {
    let path = python_env().join("bin").join(program);
    if path.is_file() && !python_env_is_stale()? {
        return Ok(path);
    }
    Err(TestkitError::Missing { program: program.to_owned(), install: "cargo xtask test -- -p xtask".to_owned() })
}

/// `path@version` of every package that a lock file names and that is not optional.
fn packages(lock: &Path) -> Result<Vec<String>, TestkitError> {
    let io = |source| TestkitError::Io { doing: format!("read {}", lock.display()), source };
    let text = fs::read_to_string(lock).map_err(io)?;
    let lock: serde_json::Value = serde_json::from_str(&text).map_err(|error| io(error.into()))?;
    let packages = lock["packages"].as_object().into_iter().flatten();
    Ok(packages
        .filter(|(path, package)| !path.is_empty() && package["optional"] != true)
        .filter_map(|(path, package)| {
            let name = path.rsplit_once("node_modules/").map_or(path.as_str(), |(_, name)| name);
            Some(format!("{name}@{}", package["version"].as_str()?))
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_names_its_package() {
        let requirement = require("none", "no-such-program", &["/nowhere/*/bin"], "no-such-package");
        let text = requirement.locate().unwrap_err().to_string();
        assert!(text.contains("no-such-program is not installed"), "{text}");
        assert!(text.contains("apt-get install no-such-package"), "{text}");
    }

    #[test]
    fn a_shell_is_found() {
        assert!(require("none", "sh", &[], "dash").locate().unwrap().is_absolute());
    }
}

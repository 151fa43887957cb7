//! The surroundings of one server.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tempfile::TempDir;
use tokio::process::Command;

use crate::{TestkitError, guard::Server};

/// What a program of ours sees of the machine, besides its own variables.
const SEARCH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A private directory, environment and user for one server.
///
/// Nothing of the caller's environment is passed on except `PATH`.
#[derive(Debug)]
pub struct Home {
    name: String,
    dir: TempDir,
    env: Vec<(OsString, OsString)>,
    user: Option<String>,
}

impl Home {
    /// An empty directory in the machine's temporary directory.
    pub fn new(name: impl Into<String>) -> Result<Self, TestkitError> {
        let dir = tempfile::Builder::new()
            .prefix("sap-comm-")
            .tempdir()
            .map_err(TestkitError::io("make a temporary directory"))?;
        let mut home = Self { name: name.into(), dir, env: Vec::new(), user: None };
        let path = std::env::var_os("PATH").map_or_else(
            || OsString::from(SEARCH),
            |mut path| {
                path.push(":");
                path.push(SEARCH);
                path
            },
        );
        let directory = home.dir().to_owned();
        home.set_env("PATH", path);
        home.set_env("HOME", &directory);
        home.set_env("TMPDIR", &directory);
        home.set_env("LC_ALL", "C.UTF-8");
        Ok(home)
    }

    /// The directory. It is removed with the server.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Sets a variable for the server and for every command run beside it.
    pub fn set_env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) {
        self.env.push((key.as_ref().to_owned(), value.as_ref().to_owned()));
    }

    /// Runs everything as this user, who also gets the directory. Only root may ask for it.
    pub async fn set_user(&mut self, user: &str) -> Result<(), TestkitError> {
        let dir = self.dir().to_owned();
        self.commands().run("chown", ["-R", user, &dir.to_string_lossy()], Duration::from_secs(10)).await?;
        self.user = Some(user.to_owned());
        Ok(())
    }

    /// Writes a file into the directory and returns its path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf, TestkitError> {
        let path = self.dir().join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(TestkitError::io(format!("create {}", parent.display())))?;
        }
        std::fs::write(&path, content).map_err(TestkitError::io(format!("write {}", path.display())))?;
        Ok(path)
    }

    /// Puts a program under guard. It runs after [`Server::start`].
    pub fn guard<A: AsRef<OsStr>>(
        self,
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = A>,
    ) -> Result<Server, TestkitError> {
        let commands = self.commands();
        let line = commands.line(program.as_ref(), args);
        Server::new(self.name, self.dir, commands, &line)
    }

    fn commands(&self) -> Commands {
        Commands { env: self.env.clone(), user: self.user.clone() }
    }
}

/// How to run a command in the surroundings of a server.
#[derive(Clone, Debug)]
pub(crate) struct Commands {
    env: Vec<(OsString, OsString)>,
    user: Option<String>,
}

impl Commands {
    /// The command line, with the change of user in front where there is one.
    fn line<A: AsRef<OsStr>>(&self, program: &OsStr, args: impl IntoIterator<Item = A>) -> Vec<OsString> {
        let mut line = Vec::new();
        if let Some(user) = &self.user {
            line.push("setpriv".into());
            line.push(format!("--reuid={user}").into());
            line.push(format!("--regid={user}").into());
            line.push("--init-groups".into());
        }
        line.push(program.to_owned());
        line.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        line
    }

    pub(crate) fn env(&self) -> &[(OsString, OsString)] {
        &self.env
    }

    /// Runs a command to its end and returns what it printed to stdout.
    pub(crate) async fn run<A: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = A>,
        limit: Duration,
    ) -> Result<String, TestkitError> {
        let line = self.line(program.as_ref(), args);
        let shown = line.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let mut command = Command::new(&line[0]);
        command
            .args(&line[1..])
            .env_clear()
            .envs(self.env.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let failed = |status: String, output: String| TestkitError::Command { command: shown.clone(), status, output };
        let output = tokio::time::timeout(limit, command.output())
            .await
            .map_err(|_| failed(format!("no end within {limit:?}"), String::new()))?
            .map_err(TestkitError::io(format!("run `{shown}`")))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            Ok(text)
        } else {
            Err(failed(output.status.to_string(), text + &String::from_utf8_lossy(&output.stderr)))
        }
    }
}

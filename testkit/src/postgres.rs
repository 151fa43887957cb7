//! A private PostgreSQL server.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio::sync::OnceCell;

use crate::{
    TestkitError, free_port,
    guard::{Home, Server},
    install::locate,
};

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);
const COMMAND_LIMIT: Duration = Duration::from_secs(30);
/// PostgreSQL refuses to run as root; Debian's package makes this user.
const USER: &str = "postgres";

/// Makes the cluster at the first start, then becomes the server, once the helpers of one that was killed have let go of its shared
/// memory. Arguments: directory of the programs, home, port.
const LAUNCH: &str = r#"
memory=$(sed -n '7s/^ *[0-9]* *//p' "$2/data/postmaster.pid" 2>/dev/null)
while [ -n "$memory" ] && awk -v id="$memory" '$2 == id && $7 > 0 { held = 1 } END { exit !held }' /proc/sysvipc/shm; do
    sleep 0.05
done
[ -s "$2/data/PG_VERSION" ] ||
    "$1/initdb" -D "$2/data" -U postgres --auth=trust --encoding=UTF8 --locale=C --no-sync || exit 1
exec "$1/postgres" -D "$2/data" -p "$3" -c listen_addresses=127.0.0.1 -c unix_socket_directories="$2" \
    -c fsync=off -c full_page_writes=off
"#;

/// A PostgreSQL server that belongs to one test, or to all tests of one process.
///
/// It survives [`kill`](Self::kill) with all that was committed, but not a crash of the machine: it never syncs.
/// Dropping it kills it and removes its data.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    programs: PathBuf,
    port: u16,
    databases: AtomicU32,
}

static SHARED: OnceCell<Postgres> = OnceCell::const_new();

impl Postgres {
    /// Starts a server with an empty cluster and waits until it takes connections.
    pub async fn start() -> Result<Self, TestkitError> {
        let programs = locate("postgres")?.parent().map(Path::to_owned).unwrap_or_default();
        locate("initdb")?;
        let port = free_port()?;
        let mut home = Home::new("postgres")?;
        if is_root() {
            home.set_user(USER).await?;
        }
        let dir = home.dir().to_owned();
        let port_text = port.to_string();
        let server = home.guard(
            "sh",
            [
                "-c".as_ref(),
                LAUNCH.as_ref(),
                "postgres".as_ref(),
                programs.as_os_str(),
                dir.as_os_str(),
                port_text.as_ref(),
            ],
        )?;
        let postgres = Self { server, programs, port, databases: AtomicU32::new(0) };
        postgres.restart().await?;
        Ok(postgres)
    }

    /// The server that all tests of this process share, each in a database of its own. Nobody may break it.
    pub async fn shared() -> Result<&'static Self, TestkitError> {
        SHARED.get_or_try_init(Self::start).await
    }

    /// `postgres://…` of a database, which need not exist.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The port of 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Makes an empty database that only the caller knows and returns its URL.
    pub async fn new_database(&self) -> Result<String, TestkitError> {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.execute("postgres", &format!("CREATE DATABASE {name}")).await?;
        Ok(self.url(&name))
    }

    /// Runs SQL in a database through `psql` and returns its rows, fields parted by `|`.
    pub async fn execute(&self, database: &str, sql: &str) -> Result<String, TestkitError> {
        let url = self.url(database);
        let args =
            ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "-v", "ON_ERROR_STOP=1", "-d", &url, "-c", sql];
        self.server.run(self.programs.join("psql"), args, COMMAND_LIMIT).await.map(|rows| rows.trim_end().to_owned())
    }

    /// Kills the server with SIGKILL. [`restart`](Self::restart) brings it back.
    pub async fn kill(&self) -> Result<(), TestkitError> {
        self.server.kill().await
    }

    /// Stops the server, closing every connection. [`restart`](Self::restart) brings it back.
    pub async fn stop(&self) -> Result<(), TestkitError> {
        self.server.terminate("INT", STOP_LIMIT).await
    }

    /// Starts the server on the same port and data, after stopping it if it runs.
    pub async fn restart(&self) -> Result<(), TestkitError> {
        if self.server.is_running() {
            self.stop().await?;
        }
        self.server.start().await?;
        let (program, port) = (self.programs.join("pg_isready"), self.port.to_string());
        self.server
            .ready(START_LIMIT, || async {
                let args = ["--quiet", "-h", "127.0.0.1", "-p", &port, "-U", "postgres"];
                self.server.run(&program, args, COMMAND_LIMIT).await.is_ok()
            })
            .await
    }

    /// Freezes the server (SIGSTOP).
    pub async fn pause(&self) -> Result<(), TestkitError> {
        self.server.pause().await
    }

    /// Wakes a paused server.
    pub async fn resume(&self) -> Result<(), TestkitError> {
        self.server.resume().await
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

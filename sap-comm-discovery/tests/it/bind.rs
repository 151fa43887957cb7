//! A private BIND for a test.

use std::{path::Path, time::Duration};

use futures_util::StreamExt;
use sap_comm_core::Resolution;
use sap_comm_discovery::resolver_from_url;
use sap_comm_testkit::{
    TestkitError, free_port,
    guard::{Home, Server},
    install::locate,
};

const LIMIT: Duration = Duration::from_secs(30);
/// The key of a server that only this test reaches.
const KEY: &str = r#"key "test" { algorithm hmac-sha256; secret "c2FwLWNvbW0="; };"#;

/// Serves `example.test`, and `broken.test`, whose zone cannot be read.
#[derive(Debug)]
pub(crate) struct Bind {
    server: Server,
    port: u16,
    control: u16,
    serial: u32,
}

impl Bind {
    /// Starts a server with these records in `example.test`, each valid for a second unless it says otherwise.
    pub(crate) async fn start(records: &str) -> Result<Self, TestkitError> {
        let (port, control) = (free_port()?, free_port()?);
        let home = Home::new("bind")?;
        let dir = home.dir().display().to_string();
        let configuration = format!(
            r#"options {{
                directory "{dir}"; pid-file "{dir}/named.pid"; session-keyfile "{dir}/session.key";
                listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
                recursion no; dnssec-validation no; minimal-responses no;
            }};
            {KEY}
            controls {{ inet 127.0.0.1 port {control} allow {{ 127.0.0.1; }} keys {{ "test"; }}; }};
            zone "example.test" {{ type primary; file "{dir}/example.zone"; }};
            zone "broken.test" {{ type primary; file "{dir}/missing.zone"; }};"#
        );
        let configuration = home.write("named.conf", configuration)?;
        home.write("rndc.key", KEY)?;
        home.write("example.zone", zone(1, records))?;
        let server = home.guard(locate("named")?, ["-g".as_ref(), "-c".as_ref(), configuration.as_os_str()])?;
        server.start().await?;
        let bind = Self { server, port, control, serial: 1 };
        bind.ready().await?;
        Ok(bind)
    }

    /// Replaces the records.
    pub(crate) async fn serve(&mut self, records: &str) -> Result<(), TestkitError> {
        self.serial += 1;
        let dir = self.server.dir();
        std::fs::write(dir.join("example.zone"), zone(self.serial, records)).expect("the zone is ours to write");
        let (key, control) = (dir.join("rndc.key"), self.control.to_string());
        let arguments = ["-s", "127.0.0.1", "-p", &control, "-k", path(&key), "reload", "example.test"];
        self.server.run(locate("rndc")?, arguments, LIMIT).await.map(drop)
    }

    pub(crate) async fn kill(&self) -> Result<(), TestkitError> {
        self.server.kill().await
    }

    pub(crate) async fn restart(&self) -> Result<(), TestkitError> {
        self.server.start().await?;
        self.ready().await
    }

    /// The discovery URL of this server, with options such as `?port=80`.
    pub(crate) fn url(&self, options: &str) -> String {
        format!("dns://127.0.0.1:{}{options}", self.port)
    }

    async fn ready(&self) -> Result<(), TestkitError> {
        let resolver = resolver_from_url(&self.url("?port=80")).expect("the URL is valid");
        self.server
            .ready(LIMIT, || async {
                matches!(resolver.watch("ready.example.test.").next().await, Some(Resolution::Snapshot(set)) if !set.is_empty())
            })
            .await
    }
}

fn zone(serial: u32, records: &str) -> String {
    format!(
        "$ORIGIN example.test.\n$TTL 1\n@ SOA ns root {serial} 3600 600 86400 1\n@ NS ns\nns A 127.0.0.1\n\
         ready A 127.0.0.1\n{records}\n"
    )
}

fn path(path: &Path) -> &str {
    path.to_str().expect("temporary directories have plain names")
}

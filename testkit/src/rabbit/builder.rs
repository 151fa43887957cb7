//! How a node is to be set up.

use std::{
    os::unix::fs::PermissionsExt,
    sync::atomic::{AtomicU32, Ordering},
};

use super::{RabbitNode, erlang::Erlang};
use crate::{TestkitError, free_port, guard::Home, install::locate, tls::TestCa};

/// Settings of a [`RabbitNode`] before it starts.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct RabbitNodeBuilder {
    tls: bool,
    verify_peer: bool,
    expired: bool,
    management: bool,
    plugins: Vec<String>,
    lines: Vec<String>,
}

/// The parts of a node that outlive its process.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) name: String,
    pub(super) port: u16,
    pub(super) dist_port: u16,
    pub(super) tls: Option<(u16, TestCa)>,
    pub(super) management: Option<u16>,
    pub(super) erlang: &'static Erlang,
}

impl RabbitNodeBuilder {
    /// Also listens for TLS, with a certificate of an authority of its own for `localhost` and `127.0.0.1`.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Listens for TLS and refuses clients without a certificate of the same authority.
    pub fn verify_peer(mut self) -> Self {
        self.tls = true;
        self.verify_peer = true;
        self
    }

    /// Listens for TLS with a certificate that is long expired.
    pub fn expired_certificate(mut self) -> Self {
        self.tls = true;
        self.expired = true;
        self
    }

    /// Also serves the management API, over TLS if the node has that.
    pub fn management(mut self) -> Self {
        self.management = true;
        self.plugin("rabbitmq_management")
    }

    /// Enables a plugin that comes with RabbitMQ, such as `rabbitmq_auth_mechanism_ssl`.
    pub fn plugin(mut self, name: impl Into<String>) -> Self {
        self.plugins.push(name.into());
        self
    }

    /// Adds a line to `rabbitmq.conf`, such as `consumer_timeout = 5000`.
    pub fn config(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// Starts the node and waits until it speaks AMQP.
    pub async fn start(self) -> Result<RabbitNode, TestkitError> {
        static NODES: AtomicU32 = AtomicU32::new(1);
        let program = locate("rabbitmq-server")?;
        let erlang = Erlang::of_this_process().await?;
        let name = format!("rabbit{}-{}@localhost", std::process::id(), NODES.fetch_add(1, Ordering::Relaxed));
        let tls = if self.tls { Some((free_port()?, TestCa::new()?)) } else { None };
        let management = if self.management { Some(free_port()?) } else { None };
        let identity = Identity { name, port: free_port()?, dist_port: free_port()?, tls, management, erlang };

        let mut home = Home::new(identity.name.clone())?;
        self.write_config(&home, &identity)?;
        set_environment(&mut home, &identity, &self.plugins)?;
        let node = RabbitNode::new(home.guard(program, [""; 0])?, identity)?;
        node.restart().await?;
        Ok(node)
    }

    fn write_config(&self, home: &Home, identity: &Identity) -> Result<(), TestkitError> {
        let mut lines = vec![
            format!("listeners.tcp.default = 127.0.0.1:{}", identity.port),
            // The console is the log of the guard; a test machine's disk is nobody's concern.
            "log.console = true".to_owned(),
            "log.console.level = info".to_owned(),
            "log.file = false".to_owned(),
            "disk_free_limit.absolute = 1MB".to_owned(),
        ];
        if let Some((port, ca)) = &identity.tls {
            let names = &["localhost", "127.0.0.1"];
            let server = if self.expired { ca.expired_server(names)? } else { ca.server(names)? };
            let authority = home.write("tls/ca.pem", ca.pem())?;
            let certificate = home.write("tls/server.pem", server.certificate)?;
            let key = home.write("tls/server.key", server.key)?;
            let verify = if self.verify_peer { "verify_peer" } else { "verify_none" };
            lines.extend([
                format!("listeners.ssl.default = 127.0.0.1:{port}"),
                format!("ssl_options.cacertfile = {}", authority.display()),
                format!("ssl_options.certfile = {}", certificate.display()),
                format!("ssl_options.keyfile = {}", key.display()),
                format!("ssl_options.verify = {verify}"),
                format!("ssl_options.fail_if_no_peer_cert = {}", self.verify_peer),
            ]);
            if let Some(port) = identity.management {
                lines.extend([
                    "management.ssl.ip = 127.0.0.1".to_owned(),
                    format!("management.ssl.port = {port}"),
                    format!("management.ssl.cacertfile = {}", authority.display()),
                    format!("management.ssl.certfile = {}", certificate.display()),
                    format!("management.ssl.keyfile = {}", key.display()),
                ]);
            }
        } else if let Some(port) = identity.management {
            lines.extend(["management.tcp.ip = 127.0.0.1".to_owned(), format!("management.tcp.port = {port}")]);
        }
        lines.extend(self.lines.iter().cloned());
        home.write("rabbitmq.conf", lines.join("\n") + "\n").map(drop)
    }
}

fn set_environment(home: &mut Home, identity: &Identity, plugins: &[String]) -> Result<(), TestkitError> {
    let cookie = home.write(".erlang.cookie", &identity.erlang.cookie)?;
    std::fs::set_permissions(&cookie, PermissionsExt::from_mode(0o400))
        .map_err(TestkitError::io("protect the cookie"))?;
    let plugins = home.write("enabled_plugins", format!("[{}].\n", plugins.join(",")))?;
    let dir = home.dir().to_owned();
    for (key, name) in [
        ("RABBITMQ_MNESIA_BASE", "data"),
        ("RABBITMQ_LOG_BASE", "logs"),
        ("RABBITMQ_CONFIG_FILE", "rabbitmq"),
        ("RABBITMQ_ADVANCED_CONFIG_FILE", "advanced"),
        ("RABBITMQ_CONF_ENV_FILE", "no-environment.conf"),
        ("RABBITMQ_PID_FILE", "pid"),
    ] {
        home.set_env(key, dir.join(name));
    }
    home.set_env("RABBITMQ_ENABLED_PLUGINS_FILE", plugins);
    home.set_env("RABBITMQ_NODENAME", &identity.name);
    home.set_env("RABBITMQ_DIST_PORT", identity.dist_port.to_string());
    home.set_env("ERL_EPMD_PORT", identity.erlang.epmd_port.to_string());
    home.set_env("ERL_EPMD_ADDRESS", "127.0.0.1");
    // Without the script's own supervision the guard's child is the virtual machine itself.
    home.set_env("RUNNING_UNDER_SYSTEMD", "true");
    // Schedulers that spin while idle would take the cores of the test beside them.
    home.set_env(
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
        "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none",
    );
    Ok(())
}

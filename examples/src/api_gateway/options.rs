use std::{net::SocketAddr, path::PathBuf};

/// How the outside reaches the gateway, and who looks at it.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct EdgeOptions {
    /// An origin whose pages may call and open Socket.IO connections, beside the gateway's own; may be given several times
    #[arg(long = "cors-origin", env = "SAP_CORS_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    pub cors_origins: Vec<String>,
    /// Let the gateway take tokens in clear text from other machines, such as from a proxy that ends TLS
    #[arg(long, env = "SAP_INSECURE_PLAIN_HTTP")]
    pub insecure_plain_http: bool,
    /// An address or network whose X-Forwarded-* headers the gateway believes; may be given several times
    #[arg(long = "trusted-proxy", env = "SAP_TRUSTED_PROXY", value_name = "NETWORK", value_delimiter = ',')]
    pub trusted_proxies: Vec<String>,
    /// Further routes of the gateway, in a .toml or .json file; it is read again when it changes
    #[arg(long, env = "SAP_ROUTES_FILE", value_name = "FILE")]
    pub routes_file: Option<PathBuf>,
    /// Where admins see the gateway's routes, endpoints and breakers as JSON; nowhere by default
    #[arg(long, env = "SAP_ADMIN_LISTEN", value_name = "ADDRESS")]
    pub admin_listen: Option<SocketAddr>,
    /// The Redis that several gateways count rate limits on: redis://HOST:PORT
    #[cfg(feature = "redis")]
    #[arg(long, env = "SAP_SHARED_LIMITS", hide_env_values = true, value_name = "URL", value_parser = secret)]
    pub shared_limits: Option<sap_comm::Secret<String>>,
}

#[cfg(feature = "redis")]
fn secret(text: &str) -> Result<sap_comm::Secret<String>, std::convert::Infallible> {
    Ok(sap_comm::Secret::new(text.to_owned()))
}

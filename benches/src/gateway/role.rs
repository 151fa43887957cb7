use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Load, broken, hyper_bare, origin, sap_comm};
use crate::BenchError;

/// What one process of the comparison does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Role {
    /// Answers requests, and publishes a key document.
    Origin {
        /// Where it listens.
        port: u16,
        /// The key document.
        jwks: Value,
    },
    /// A bare hyper proxy in front of the origin.
    HyperBare {
        /// Where it listens.
        port: u16,
        /// Where the origin listens.
        origin: u16,
    },
    /// Our gateway in front of the origin.
    SapComm {
        /// Where it listens.
        port: u16,
        /// Where the origin listens.
        origin: u16,
        /// What it is set up for.
        setup: Setup,
    },
    /// Takes requests and answers none.
    Broken {
        /// Where it listens.
        port: u16,
    },
    /// Asks, and prints its figures as JSON.
    Load(Load),
}

/// What our gateway is set up for. But for what is said here it runs by its defaults, with a worker for each of two cores and
/// without a rate limit.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Setup {
    /// Nothing else.
    Bare,
    /// Token, role, request log, and a rate limit that is never reached.
    Policies,
    /// Bodies of any length.
    Uploads,
    /// A second upstream.
    Besieged {
        /// Where that listens; it is broken.
        broken: u16,
    },
}

/// How a program is started again to play a role.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Part {
    /// Plays one role in this process
    #[command(hide = true)]
    Play {
        /// A role as JSON
        #[arg(value_parser = |json: &str| serde_json::from_str::<Box<Role>>(json))]
        role: Box<Role>,
    },
}

impl Role {
    /// Plays the role until the process is ended, or the load is over.
    ///
    /// # Errors
    /// When a port, a peer or the machine refuses.
    pub fn play(&self) -> Result<(), BenchError> {
        match self {
            Self::Origin { port, jwks } => origin::run(*port, jwks),
            Self::HyperBare { port, origin } => hyper_bare::run(*port, *origin),
            Self::SapComm { port, origin, setup } => sap_comm::run(*port, *origin, *setup),
            Self::Broken { port } => broken::run(*port),
            Self::Load(load) => {
                let figures = serde_json::to_string(&load.run()?).map_err(BenchError::refused("write the figures"))?;
                println!("{figures}");
                Ok(())
            }
        }
    }
}

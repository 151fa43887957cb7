//! `chaos-gateway`: honest requests at a steady pace, while others besiege the gateway.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `crowd` | connections that rest, and connections that drip headers or bodies |
//! | `report` | what honest requests felt |

mod crowd;
mod report;

use std::time::Duration;

use sap_comm_testkit::{free_port, guard::Server};

use self::crowd::{Crowd, Way};
pub use self::report::Report;
use crate::{
    BenchError,
    compare::stage::{load, own},
    gateway::{BROKEN, ITEM, Load, Pace, Role, Setup, load::Measured, open_files},
};

/// Honest requests a second: far below what two cores serve.
const HONEST: f64 = 500.0;
/// Of those with a body.
const HONEST_WITH_BODY: f64 = 50.0;
/// How long that is, bytes.
const BODY: usize = 1_000;
/// Requests a second to the route whose upstream is broken.
const TO_BROKEN: f64 = 200.0;
const HONEST_CONNECTIONS: usize = 16;
/// The gateway's, the crowd's and everybody else's files.
const SPARE_FILES: u64 = 2_000;

/// How long, by which seed, how many.
#[derive(Clone, Debug, clap::Args)]
pub struct SiegeOptions {
    /// Seed of what is dripped, and when
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long to keep at it
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(7..=86_400))]
    seconds: u64,
    /// Connections that rest between two requests
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    idle: u32,
    /// Connections that drip headers, and then as many that drip bodies
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=9_000))]
    dripping: u32,
    /// How many times as long as in quiet spells the slowest hundredth of honest requests may take
    #[arg(long, default_value_t = 2.0)]
    bound: f64,
}

/// The processes of a siege.
struct Fortress {
    _origin: Server,
    _broken: Server,
    gateway: Server,
    port: u16,
}

/// Besieges a gateway of its own, a way at a time, with a quiet spell before and after each.
///
/// # Errors
/// When a process cannot be started, the machine allows too few open files, or an honest request fails.
pub async fn gateway(options: &SiegeOptions) -> Result<Report, BenchError> {
    let allowed = open_files::raise_limit()?;
    let needed = u64::from(options.idle.max(options.dripping)) + SPARE_FILES;
    if allowed < needed {
        return Err(BenchError::refused("besiege")(format!("{needed} open files are needed, {allowed} are allowed")));
    }
    let fortress = Fortress::raise().await?;
    // Five quiet spells and four sieges.
    let spell = Duration::from_secs(options.seconds) / 9;
    let mut report = Report::new(options.seed, options.bound);
    report.quiet(&fortress.honest(spell).await?);
    for (way, count) in [
        (Way::Resting, options.idle),
        (Way::DrippingHeaders, options.dripping),
        (Way::DrippingBodies, options.dripping),
    ] {
        let crowd = Crowd::gather(fortress.port, way, count, options.seed).await?;
        let (measured, stood) = crowd.during(fortress.honest(spell)).await?;
        report.besieged(format!("{} of {} {way}", stood.count, stood.all), &measured);
        drop(crowd);
        report.quiet(&fortress.honest(spell).await?);
    }

    let (honest, refused) = tokio::try_join!(fortress.honest(spell), fortress.to_broken(spell))?;
    report.besieged(format!("{} requests to a broken upstream", refused.figures.messages), &honest);
    report.quiet(&fortress.honest(spell).await?);
    Ok(report)
}

impl Fortress {
    async fn raise() -> Result<Self, BenchError> {
        let (origin, broken, port) = (free_port()?, free_port()?, free_port()?);
        let jwks = serde_json::json!({"keys": []});
        let role = Role::SapComm { port, origin, setup: Setup::Besieged { broken } };
        Ok(Self {
            _origin: own("origin", &Role::Origin { port: origin, jwks }, origin).await?,
            _broken: own("broken", &Role::Broken { port: broken }, broken).await?,
            gateway: own("sap-comm", &role, port).await?,
            port,
        })
    }

    /// Requests without a body, which are measured, and with one, which must not fail.
    async fn honest(&self, spell: Duration) -> Result<Measured, BenchError> {
        let asked = self.load(ITEM, HONEST, spell, false, 0);
        let sent = self.load(ITEM, HONEST_WITH_BODY, spell, false, BODY);
        tokio::try_join!(asked, sent).map(|(asked, _)| asked)
    }

    async fn to_broken(&self, spell: Duration) -> Result<Measured, BenchError> {
        self.load(BROKEN, TO_BROKEN, spell, true, 0).await
    }

    async fn load(
        &self,
        path: &str,
        rate: f64,
        spell: Duration,
        refusals: bool,
        body: usize,
    ) -> Result<Measured, BenchError> {
        let pid = self.gateway.pid().ok_or_else(|| BenchError::refused("besiege")("the gateway has no process"))?;
        let pace = Pace::Open { rate, warm_up: spell / 8, measured: spell * 7 / 8 };
        let (path, connections) = (path.to_owned(), HONEST_CONNECTIONS);
        load("sap-comm", Load { port: self.port, pid, path, connections, tokens: Vec::new(), pace, refusals, body })
            .await
    }
}

use crate::gateway::{Role, Setup};

/// A proxy in front of the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contestant {
    SapComm,
    /// With token, roles, rate limit and request log; breaker and resolver are always on.
    SapCommPolicies,
    /// With room for a body of any length.
    SapCommUploads,
    HyperBare,
    Nginx,
    Haproxy,
    Pingora,
    PingoraTuned,
    Express,
    ExpressPolicies,
    /// No proxy: the load asks the origin.
    Direct,
}

use Contestant::{
    Direct, Express, ExpressPolicies, Haproxy, HyperBare, Nginx, Pingora, PingoraTuned, SapComm, SapCommPolicies,
    SapCommUploads,
};

/// The names that rows know the peers by.
pub(super) const PEERS: [&str; 7] = ["hyper-bare", "nginx", "haproxy", "pingora", "pingora-tuned", "express", "direct"];

/// Ours first, everybody without policies.
pub(super) const BARE: &[Contestant] = &[SapComm, HyperBare, Nginx, Haproxy, Pingora, PingoraTuned, Express];
/// Ours with policies, and express with the same. The others stay bare: they have no such thing.
pub(super) const FULL: &[Contestant] =
    &[SapCommPolicies, HyperBare, Nginx, Haproxy, Pingora, PingoraTuned, ExpressPolicies];
/// Who takes an upload. The others bound no body.
pub(super) const UPLOADS: &[Contestant] = &[SapCommUploads, HyperBare, Nginx, Haproxy, Pingora, PingoraTuned, Express];
/// Those that share a rate at half load, with the origin alone for what each of them adds; and those that share a lower one.
pub(super) const FAST: &[Contestant] = &[SapComm, HyperBare, Nginx, Haproxy, Pingora, PingoraTuned, Direct];
/// See [`FAST`].
pub(super) const SLOW: &[Contestant] = &[SapComm, Express];

impl Contestant {
    pub(super) fn name(self) -> &'static str {
        match self {
            SapComm | SapCommPolicies | SapCommUploads => "sap-comm",
            HyperBare => "hyper-bare",
            Nginx => "nginx",
            Haproxy => "haproxy",
            Pingora => "pingora",
            PingoraTuned => "pingora-tuned",
            Express | ExpressPolicies => "express",
            Direct => "direct",
        }
    }

    pub(super) fn is_ours(self) -> bool {
        matches!(self, SapComm | SapCommPolicies | SapCommUploads)
    }

    pub(super) fn has_policies(self) -> bool {
        matches!(self, SapCommPolicies | ExpressPolicies)
    }

    /// What this program plays for it; `None` for what is another program.
    pub(super) fn role(self, port: u16, origin: u16) -> Option<Role> {
        let ours = |setup| Some(Role::SapComm { port, origin, setup });
        match self {
            SapComm => ours(Setup::Bare),
            SapCommPolicies => ours(Setup::Policies),
            SapCommUploads => ours(Setup::Uploads),
            HyperBare => Some(Role::HyperBare { port, origin }),
            Nginx | Haproxy | Pingora | PingoraTuned | Express | ExpressPolicies | Direct => None,
        }
    }
}

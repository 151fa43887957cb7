use std::{collections::BTreeMap, fmt, net::IpAddr, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use hickory_resolver::{
    TokioResolver,
    net::{DnsError, NetError},
    proto::{
        op::ResponseCode,
        rr::{Name, RData, Record, RecordType},
    },
};
use sap_comm_core::{Endpoint, EndpointSet};

use super::question::{Form, Question, Search};

/// How long an answer may be believed.
const TTL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How long it may be believed that there is none.
const NEGATIVE_TTL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
/// How many targets of SRV records are looked up at once.
const AT_ONCE: usize = 16;

/// Turns questions into endpoints.
pub(super) struct Lookup {
    client: TokioResolver,
    search: Search,
    form: Form,
}

/// Endpoints, none being an answer too, and how long to believe them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) endpoints: EndpointSet,
    pub(super) believe: Duration,
}

/// Records of one name; none when the name or its records do not exist.
struct Records {
    answers: Vec<Record>,
    additionals: Vec<Record>,
    ttl: Duration,
}

impl Lookup {
    pub(super) fn new(client: TokioResolver, search: Search, form: Form) -> Self {
        Self { client, search, form }
    }

    pub(super) fn question(&self, service: &str) -> Result<Question, String> {
        Question::of(service, &self.form, &self.search)
    }

    /// Asks; an error means that nobody could say.
    pub(super) async fn ask(&self, question: &Question) -> Result<Answer, String> {
        match question {
            Question::Host { names, port } => self.hosts(names, *port).await,
            Question::Srv { names } => self.srv(names).await,
        }
    }

    async fn hosts(&self, names: &[Name], port: u16) -> Result<Answer, String> {
        let (name, addresses, ttl) = self.addresses(names).await?;
        let endpoints: Result<EndpointSet, _> = match (self.form.scheme, name) {
            ("https", Some(name)) if !addresses.is_empty() => [self.endpoint(&host(&name), port)].into_iter().collect(),
            _ => addresses.iter().map(|address| self.endpoint(&literal(*address), port)).collect(),
        };
        Ok(Answer { endpoints: endpoints?, believe: ttl })
    }

    async fn srv(&self, names: &[Name]) -> Result<Answer, String> {
        let (_, found) = self.first(names, RecordType::SRV).await?;
        let mut by_priority = BTreeMap::<u16, Vec<_>>::new();
        for record in &found.answers {
            if let RData::SRV(srv) = &record.data
                && !srv.target.is_root()
            {
                by_priority.entry(srv.priority).or_default().push(srv.clone());
            }
        }
        let mut believe = found.ttl;
        for group in by_priority.into_values() {
            let along = &found.additionals;
            let targets = stream::iter(group)
                .map(|srv| async move { self.target(&srv.target, along, srv.port, srv.weight).await });
            let targets: Vec<_> = targets.buffer_unordered(AT_ONCE).try_collect().await?;
            believe = targets.iter().map(|(_, ttl)| *ttl).fold(believe, Duration::min);
            let endpoints: EndpointSet = targets.into_iter().flat_map(|(endpoints, _)| endpoints).collect();
            if !endpoints.is_empty() {
                return Ok(Answer { endpoints, believe });
            }
        }
        Ok(Answer { endpoints: EndpointSet::default(), believe: believe.min(NEGATIVE_TTL.1) })
    }

    /// The endpoints of one SRV record; its host's addresses often come along with the record.
    async fn target(
        &self,
        target: &Name,
        additionals: &[Record],
        port: u16,
        weight: u16,
    ) -> Result<(Vec<Endpoint>, Duration), String> {
        // Weight zero asks for a very small share, not for none.
        let weight = u32::from(weight).max(1);
        let along =
            |kind| additionals.iter().filter(move |record| record.name == *target && record.record_type() == kind);
        let came: Vec<_> = along(RecordType::A).collect();
        let (addresses, ttl) = if came.is_empty() {
            let (_, addresses, ttl) = self.addresses(std::slice::from_ref(target)).await?;
            (addresses, ttl)
        } else {
            (came.iter().filter_map(|record| record.data.ip_addr()).collect(), least_ttl(came.iter().copied()))
        };
        let endpoints: Result<Vec<_>, _> = if self.form.scheme == "https" && !addresses.is_empty() {
            self.endpoint(&host(target), port).map(|endpoint| vec![endpoint.with_weight(weight)])
        } else {
            let endpoints = addresses.iter().map(|address| self.endpoint(&literal(*address), port));
            endpoints.map(|endpoint| endpoint.map(|endpoint| endpoint.with_weight(weight))).collect()
        };
        Ok((endpoints?, ttl))
    }

    /// A records, or AAAA records where there are none: both would count a dual-stack host twice.
    async fn addresses(&self, names: &[Name]) -> Result<(Option<Name>, Vec<IpAddr>, Duration), String> {
        let (name, mut found) = self.first(names, RecordType::A).await?;
        let mut name = name;
        if found.answers.is_empty() {
            (name, found) = self.first(names, RecordType::AAAA).await?;
        }
        Ok((name, found.answers.iter().filter_map(|record| record.data.ip_addr()).collect(), found.ttl))
    }

    /// The records of the first name that has any. That one could not be asked for is no answer for the others.
    async fn first(&self, names: &[Name], kind: RecordType) -> Result<(Option<Name>, Records), String> {
        let mut ttl = NEGATIVE_TTL.1;
        for name in names {
            let found = self.records(name, kind).await?;
            if !found.answers.is_empty() {
                return Ok((Some(name.clone()), found));
            }
            ttl = ttl.min(found.ttl);
        }
        Ok((None, Records { answers: Vec::new(), additionals: Vec::new(), ttl }))
    }

    async fn records(&self, name: &Name, kind: RecordType) -> Result<Records, String> {
        match self.client.lookup(name.clone(), kind).await {
            Ok(found) => {
                let answers: Vec<_> =
                    found.answers().iter().filter(|record| record.record_type() == kind).cloned().collect();
                // The TTL of an alias on the way counts too.
                let ttl = least_ttl(found.answers());
                Ok(Records { answers, additionals: found.additionals().to_vec(), ttl })
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(none)))
                if matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError) =>
            {
                let ttl = none.negative_ttl.map_or(NEGATIVE_TTL.1, |ttl| Duration::from_secs(ttl.into()));
                let ttl = ttl.clamp(NEGATIVE_TTL.0, NEGATIVE_TTL.1);
                Ok(Records { answers: Vec::new(), additionals: Vec::new(), ttl })
            }
            Err(error) => Err(format!("{kind} of {name}: {error}")),
        }
    }

    fn endpoint(&self, host: &str, port: u16) -> Result<Endpoint, String> {
        Endpoint::parse(&format!("{}://{host}:{port}", self.form.scheme)).map_err(|error| error.to_string())
    }
}

fn least_ttl<'a>(records: impl IntoIterator<Item = &'a Record>) -> Duration {
    let least = records.into_iter().map(|record| Duration::from_secs(record.ttl.into())).min();
    least.unwrap_or(NEGATIVE_TTL.1).clamp(TTL.0, TTL.1)
}

fn literal(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

fn host(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_owned()
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup").field("search", &self.search).field("form", &self.form).finish_non_exhaustive()
    }
}

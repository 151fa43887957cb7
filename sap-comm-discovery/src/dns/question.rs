use hickory_resolver::proto::rr::Name;

/// Which endpoints to make of the answers.
#[derive(Debug, Clone)]
pub(super) struct Form {
    pub(super) scheme: &'static str,
    pub(super) port: Option<u16>,
}

/// How a name that is not whole is completed.
#[derive(Debug, Clone)]
pub(super) struct Search {
    /// A name with at least so many dots is tried as it stands first, another one last; `None` tries it never.
    pub(super) ndots: Option<usize>,
    pub(super) domains: Vec<Name>,
}

/// What to ask for a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Question {
    /// The addresses of a host.
    Host { names: Vec<Name>, port: u16 },
    /// Hosts and ports.
    Srv { names: Vec<Name> },
}

impl Question {
    /// Reads `user-service`, `user-service:8080`, or `_grpc._tcp.user-service`.
    pub(super) fn of(service: &str, form: &Form, search: &Search) -> Result<Self, String> {
        let host = service.split(':').next().unwrap_or(service);
        if host.trim_matches('.').is_empty() {
            return Err("the name is empty".to_owned());
        }
        let name = |text: &str| {
            let name = Name::from_utf8(text).map_err(|error| format!("{text:?} is not a DNS name: {error}"))?;
            Ok::<_, String>(search.complete(&name))
        };
        if let Some((host, port)) = service.rsplit_once(':') {
            let port = port.parse().ok().filter(|port| *port != 0);
            let port = port.ok_or_else(|| format!("{service:?} ends in no port"))?;
            return Ok(Self::Host { names: name(host)?, port });
        }
        match form.port {
            _ if service.starts_with('_') => Ok(Self::Srv { names: name(service)? }),
            Some(port) => Ok(Self::Host { names: name(service)?, port }),
            None => Ok(Self::Srv { names: name(&format!("_{}._tcp.{service}", form.scheme))? }),
        }
    }
}

impl Search {
    /// The whole names to try, in this order.
    fn complete(&self, name: &Name) -> Vec<Name> {
        if name.is_fqdn() {
            return vec![name.clone()];
        }
        let mut whole = name.clone();
        whole.set_fqdn(true);
        // The service and protocol labels of SRV are no reason to take a name for whole.
        let labels = name.iter().filter(|label| !label.starts_with(b"_")).count();
        let mut names: Vec<_> =
            self.domains.iter().filter_map(|domain| name.clone().append_domain(domain).ok()).collect();
        if let Some(ndots) = self.ndots {
            names.insert(if labels > ndots { 0 } else { names.len() }, whole);
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(service: &str, port: Option<u16>) -> Result<(Vec<String>, u16), String> {
        let search = Search { ndots: Some(1), domains: vec![Name::from_ascii("prod.svc.cluster.local.").unwrap()] };
        let texts = |names: Vec<Name>| names.iter().map(ToString::to_string).collect();
        Question::of(service, &Form { scheme: "http", port }, &search).map(|question| match question {
            Question::Host { names, port } => (texts(names), port),
            Question::Srv { names } => (texts(names), 0),
        })
    }

    #[test]
    fn the_service_decides_what_is_asked() {
        let names = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let srv = names(&["_http._tcp.user-service.prod.svc.cluster.local.", "_http._tcp.user-service."]);
        assert_eq!(ask("user-service", None).unwrap(), (srv, 0));
        let host = names(&["user-service.prod.svc.cluster.local.", "user-service."]);
        assert_eq!(ask("user-service", Some(80)).unwrap(), (host.clone(), 80));
        assert_eq!(ask("user-service:81", Some(80)).unwrap(), (host, 81));
        let dotted = names(&["a.example.", "a.example.prod.svc.cluster.local."]);
        assert_eq!(ask("a.example", Some(80)).unwrap().0, dotted);
        assert_eq!(ask("_grpc._tcp.a.example.", Some(80)).unwrap(), (names(&["_grpc._tcp.a.example."]), 0));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = "x".repeat(64);
        for service in ["", ".", ":80", "a..b", &long, "user-service:0", "user-service:http"] {
            assert!(ask(service, Some(80)).is_err(), "{service}");
        }
    }
}

/// Which hosts a route takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HostPattern {
    /// This one.
    Name(Box<str>),
    /// Every name that ends so, the dot included.
    Below(Box<str>),
}

impl HostPattern {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, below) = text.strip_prefix("*.").map_or((text, false), |rest| (rest, true));
        let valid = !name.is_empty()
            && name.split('.').all(|label| !label.is_empty())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
        let name = name.to_ascii_lowercase();
        valid.then(|| if below { Self::Below(format!(".{name}").into()) } else { Self::Name(name.into()) })
    }

    /// Whether it takes a host, which may have a port and be in any case.
    pub(super) fn takes(&self, host: &[u8]) -> bool {
        let host = name_of(host);
        match self {
            Self::Name(name) => host.eq_ignore_ascii_case(name.as_bytes()),
            Self::Below(suffix) => host
                .len()
                .checked_sub(suffix.len())
                .filter(|at| *at > 0)
                .and_then(|at| host.get(at..))
                .is_some_and(|end| end.eq_ignore_ascii_case(suffix.as_bytes())),
        }
    }
}

/// The host without its port, and without the dot that says it is complete.
fn name_of(host: &[u8]) -> &[u8] {
    let end = host.iter().position(|byte| *byte == b':').unwrap_or(host.len());
    let name = host.get(..end).unwrap_or_default();
    name.strip_suffix(b".").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::HostPattern;

    #[test]
    fn a_host_is_taken_in_any_case_and_at_any_port() {
        for (pattern, host, taken) in [
            ("api.example.com", "api.example.com", true),
            ("API.example.com", "Api.Example.Com:8443", true),
            ("api.example.com", "api.example.com.", true),
            ("api.example.com", "api.example.com.evil", false),
            ("api.example.com", "xapi.example.com", false),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "a.b.EXAMPLE.com:80", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
            ("*.example.com", "badexample.com", false),
        ] {
            assert_eq!(HostPattern::parse(pattern).unwrap().takes(host.as_bytes()), taken, "{pattern} {host}");
        }
    }
}

use http::{HeaderMap, HeaderValue, header};

/// The beginning of a request's path, which its service knows by another name.
#[derive(Debug, Clone, Copy)]
pub(in crate::gateway) struct Rewritten<'a> {
    /// As the client has it; empty on a route that takes every path.
    outside: &'a str,
    /// As the service has it; empty for `/`.
    inside: &'a str,
}

/// To whom the authority of a URL means something.
#[derive(Debug, Clone, Copy)]
pub(in crate::gateway) enum Whose {
    /// The service alone.
    Service,
    /// The client, which asked for it: another scheme leads it elsewhere, and shall not lead it out of TLS.
    Client {
        over_tls: bool,
    },
    Another,
}

impl<'a> Rewritten<'a> {
    pub(in crate::gateway) fn new(outside: &'a str, inside: &'a str) -> Self {
        Self { outside, inside: if inside == "/" { "" } else { inside } }
    }

    /// What a service has to put before a path of its own to get the client's, where that is all the difference.
    pub(in crate::gateway) fn prefix(&self) -> Option<&'a str> {
        self.outside.strip_suffix(self.inside).filter(|prefix| !prefix.is_empty())
    }

    /// Puts the client's paths into an answer, in place of the service's: in relative references, in absolute ones to the service, and
    /// in cookies.
    pub(in crate::gateway) fn map_back(&self, headers: &mut HeaderMap, whose: impl Fn(&str) -> Whose) {
        for (name, value) in headers.iter_mut() {
            let text = value.to_str().ok();
            let mapped = match *name {
                header::LOCATION | header::CONTENT_LOCATION => {
                    text.and_then(|text| self.reference(text, &whose)).map(Vec::from)
                }
                header::LINK => text.and_then(|text| self.links(text, &whose)).map(Vec::from),
                header::SET_COOKIE => self.cookie(value.as_bytes()),
                _ => None,
            };
            if let Some(mapped) = mapped.and_then(|bytes| HeaderValue::try_from(bytes).ok()) {
                *value = mapped;
            }
        }
    }

    fn reference(&self, text: &str, whose: &impl Fn(&str) -> Whose) -> Option<String> {
        let (origin, path) = split(text, whose)?;
        self.mapped(path).filter(|mapped| !leads_elsewhere(mapped)).map(|mapped| format!("{origin}{mapped}"))
    }

    fn mapped(&self, path: &str) -> Option<String> {
        // A service that was told the prefix may have put it there itself.
        if self.prefix().is_some() && below(path, self.outside).is_some() {
            return Some(path.to_owned());
        }
        let rest = below(path, self.inside)?;
        let slash = if self.outside.is_empty() && !rest.starts_with('/') { "/" } else { "" };
        Some(format!("{}{slash}{rest}", self.outside))
    }

    /// The `Path` of a cookie (RFC 6265, section 5.2).
    fn cookie(&self, value: &[u8]) -> Option<Vec<u8>> {
        let mut parts = value.split(|byte| *byte == b';');
        let (mut mapped, mut changed) = (parts.next()?.to_vec(), false);
        for attribute in parts {
            mapped.push(b';');
            match str::from_utf8(attribute).ok().and_then(|attribute| self.cookie_path(attribute)) {
                Some(path) => {
                    changed = true;
                    mapped.extend(b" Path=");
                    mapped.extend(path.as_bytes());
                }
                None => mapped.extend(attribute),
            }
        }
        changed.then_some(mapped)
    }

    /// `/` stays: it is meant for every path, those of other routes too, and what ends a session names it again.
    fn cookie_path(&self, attribute: &str) -> Option<String> {
        let (name, path) = attribute.split_once('=')?;
        let path = path.trim();
        let is_part = name.trim().eq_ignore_ascii_case("path") && path.starts_with('/') && path != "/";
        if is_part { self.mapped(path) } else { None }
    }

    /// The targets of `Link` (RFC 8288), which stand in angle brackets, and not what looks like them within quotes.
    fn links(&self, text: &str, whose: &impl Fn(&str) -> Whose) -> Option<String> {
        let (mut mapped, mut rest, mut changed) = (String::with_capacity(text.len() + 64), text, false);
        while let Some(at) = rest.find(['<', '"']) {
            let (before, from) = rest.split_at(at);
            let Some(end) = (if from.starts_with('<') { from.find('>') } else { end_of_quotes(from) }) else { break };
            let (token, behind) = from.split_at(end + 1);
            mapped.push_str(before);
            let target = token.strip_prefix('<').and_then(|token| token.strip_suffix('>'));
            match target.and_then(|target| self.reference(target, whose)) {
                Some(target) => {
                    changed = true;
                    mapped.extend(["<", &target, ">"]);
                }
                None => mapped.push_str(token),
            }
            rest = behind;
        }
        mapped.push_str(rest);
        changed.then_some(mapped)
    }
}

/// What of a reference to the service stays before its path, and the path with what follows it. Of a reference that begins with neither
/// a slash nor a scheme, what it means depends on the request, and is right already.
fn split<'a>(text: &'a str, whose: &impl Fn(&str) -> Whose) -> Option<(&'a str, &'a str)> {
    let absolute = match text.split_once("://") {
        Some((scheme, rest)) if ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) => Some(rest),
        _ => text.strip_prefix("//"),
    };
    let Some(absolute) = absolute else { return text.starts_with('/').then_some(("", text)) };
    let is_plain = text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http:"));
    let (authority, path) = absolute.split_at(absolute.find(['/', '?', '#']).unwrap_or(absolute.len()));
    match whose(authority) {
        Whose::Service => Some(("", path)),
        Whose::Client { over_tls: true } if is_plain => Some(("", path)),
        Whose::Client { .. } => text.split_at_checked(text.len() - path.len()),
        Whose::Another => None,
    }
}

/// Whether what should be a path names another host: browsers take a backslash for a slash, and pass over tabs.
fn leads_elsewhere(path: &str) -> bool {
    path.bytes().filter(|byte| *byte != b'\t').nth(1).is_some_and(|second| matches!(second, b'/' | b'\\'))
}

/// What is left of a path behind whole segments of it.
fn below<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
}

fn end_of_quotes(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes()
        .skip(1)
        .position(|byte| match byte {
            b'"' if !escaped => true,
            byte => {
                escaped = byte == b'\\' && !escaped;
                false
            }
        })
        .map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whose(authority: &str) -> Whose {
        match authority {
            "10.0.0.7:8080" => Whose::Service,
            "api.example.com" => Whose::Client { over_tls: true },
            "plain.example.com" => Whose::Client { over_tls: false },
            _ => Whose::Another,
        }
    }

    #[test]
    fn references_to_the_service_become_the_clients() {
        let users = Rewritten::new("/api/v1/people", "/users");
        let root = Rewritten::new("/api/v1", "/");
        let tail = Rewritten::new("/api/v1/users", "/users");
        let all = Rewritten::new("", "/site");
        let same = Rewritten::new("", "/");
        for (rewritten, text, mapped) in [
            (users, "/users/7?a=b#c", Some("/api/v1/people/7?a=b#c")),
            (users, "/users", Some("/api/v1/people")),
            (users, "/users?page=2", Some("/api/v1/people?page=2")),
            (users, "/users2/7", None),
            (users, "/login?next=http://10.0.0.7:8080/users", None),
            (users, "http://10.0.0.7:8080/users/7", Some("/api/v1/people/7")),
            (users, "HTTPS://10.0.0.7:8080/users", Some("/api/v1/people")),
            (users, "//10.0.0.7:8080/users/7", Some("/api/v1/people/7")),
            (users, "http://10.0.0.7:8080/elsewhere", None),
            (users, "http://other.example/users/7", None),
            (users, "//other.example/users/7", None),
            (users, "http://10.0.0.7:8080@other.example/users/7", None),
            (users, "7", None),
            (users, "?page=2", None),
            (users, "", None),
            (root, "/", Some("/api/v1/")),
            (root, "/users/7", Some("/api/v1/users/7")),
            (root, "http://10.0.0.7:8080", Some("/api/v1")),
            (root, "http://10.0.0.7:8080?a", Some("/api/v1?a")),
            (root, "//other.example/", None),
            (root, "/api/v1/users/7", Some("/api/v1/users/7")),
            (root, "http://10.0.0.7:8080/api/v1/users/7", Some("/api/v1/users/7")),
            (tail, "/users/7", Some("/api/v1/users/7")),
            (tail, "/api/v1/users/7", Some("/api/v1/users/7")),
            (all, "/site/7", Some("/7")),
            (all, "/site", Some("/")),
            (all, "/site?a", Some("/?a")),
            (all, "/7", None),
            (all, "/site//evil.example/x", None),
            (all, "/site/\\evil.example", None),
            (all, "/site/\t/evil.example", None),
            (all, "/site/\t\\evil.example", None),
            (all, "/site/a//b", Some("/a//b")),
            (same, "http://10.0.0.7:8080/7", Some("/7")),
            (same, "http://10.0.0.7:8080//evil.example", None),
            (same, "//10.0.0.7:8080/\\evil.example", None),
            (root, "/users//evil.example", Some("/api/v1/users//evil.example")),
            (root, "//10.0.0.7:8080//evil.example", Some("/api/v1//evil.example")),
            (users, "https://api.example.com/users/7?a", Some("https://api.example.com/api/v1/people/7?a")),
            (users, "//api.example.com/users", Some("//api.example.com/api/v1/people")),
            (users, "http://api.example.com/users/7", Some("/api/v1/people/7")),
            (users, "HTTP://api.example.com/elsewhere", None),
            (same, "http://api.example.com//evil.example", None),
            (users, "http://plain.example.com/users", Some("http://plain.example.com/api/v1/people")),
            (users, "https://plain.example.com/users", Some("https://plain.example.com/api/v1/people")),
            (users, "https://api.example.com/elsewhere", None),
            (users, "https://api.example.com:8443/users", None),
            (users, "https://10.0.0.7:8080@api.example.com/users", None),
            (root, "https://api.example.com", Some("https://api.example.com/api/v1")),
            (root, "HTTPS://api.example.com/api/v1/7", Some("HTTPS://api.example.com/api/v1/7")),
            (same, "https://api.example.com/7", Some("https://api.example.com/7")),
            (same, "https://api.example.com", Some("https://api.example.com/")),
        ] {
            assert_eq!(rewritten.reference(text, &whose).as_deref(), mapped, "{rewritten:?} {text}");
        }
    }

    #[test]
    fn all_targets_of_links_are_mapped_and_nothing_else_is() {
        let users = Rewritten::new("/people", "/users");
        for (text, mapped) in [
            (
                r#"</users?page=2>; rel="next", <http://10.0.0.7:8080/users>; rel=first, </x>; rel=up"#,
                Some(r#"</people?page=2>; rel="next", </people>; rel=first, </x>; rel=up"#),
            ),
            (
                r#"</users/1>; title="a \"</users/2>\", <b>", </users/3>"#,
                Some(r#"</people/1>; title="a \"</users/2>\", <b>", </people/3>"#),
            ),
            (r#"</x>; title="</users>""#, None),
            ("</users", None),
            (r#"</users>; title="</users>"#, Some(r#"</people>; title="</users>"#)),
        ] {
            assert_eq!(users.links(text, &whose).as_deref(), mapped, "{text}");
        }
    }

    #[test]
    fn the_path_of_a_cookie_is_mapped_and_nothing_else_is() {
        let users = Rewritten::new("/api/v1/people", "/users");
        let root = Rewritten::new("/api/v1", "/");
        let all = Rewritten::new("", "/site");
        for (rewritten, text, mapped) in [
            (users, "a=b; Path=/users", Some("a=b; Path=/api/v1/people")),
            (users, "a=b;path = /users/7 ;Secure", Some("a=b; Path=/api/v1/people/7;Secure")),
            (users, "a=b; HttpOnly; PATH=/users/; Max-Age=1", Some("a=b; HttpOnly; Path=/api/v1/people/; Max-Age=1")),
            (users, "a=b; Path=/x; Path=/users", Some("a=b; Path=/x; Path=/api/v1/people")),
            (users, "a=b; Path=/users2", None),
            (users, "a=b; Path=/", None),
            (users, "a=b; Path=", None),
            (users, "a=b; Path", None),
            (users, "a=b; Path=users", None),
            (users, "a=b; Path=\"/users\"", None),
            (users, "a=b; X-Path=/users", None),
            (users, "path=/users", None),
            (users, "path=/users; Secure", None),
            (users, "", None),
            (root, "a=b; Path=/", None),
            (root, "a=b; Path=/ ; Secure", None),
            (root, "a=b; Path=/users", Some("a=b; Path=/api/v1/users")),
            (root, "a=b; Path=/api/v1/users", Some("a=b; Path=/api/v1/users")),
            (root, "a=b; Path=", None),
            (root, "__Host-a=b; Secure; Path=/", None),
            (root, "a=\u{e9}; Path=/users; X=\u{e9}", Some("a=\u{e9}; Path=/api/v1/users; X=\u{e9}")),
            (all, "a=b; Path=/site", Some("a=b; Path=/")),
            (all, "a=b; Path=/site/x", Some("a=b; Path=/x")),
            (all, "a=b; Path=/", None),
        ] {
            let own = rewritten.cookie(text.as_bytes());
            assert_eq!(own.as_deref(), mapped.map(str::as_bytes), "{rewritten:?} {text}");
        }
        let latin = users.cookie(b"a=\xe9; Path=/users; X=\xe9");
        assert_eq!(latin.as_deref(), Some(&b"a=\xe9; Path=/api/v1/people; X=\xe9"[..]));
    }

    #[test]
    fn a_prefix_is_told_only_where_it_is_all_the_difference() {
        for (outside, inside, prefix) in [
            ("/api/v1", "/", Some("/api/v1")),
            ("/api/v1/users", "/users", Some("/api/v1")),
            ("/t/acme/api", "/api", Some("/t/acme")),
            ("/people", "/users", None),
            ("/users", "/users", None),
            ("", "/site", None),
            ("", "/", None),
        ] {
            assert_eq!(Rewritten::new(outside, inside).prefix(), prefix, "{outside} {inside}");
        }
    }
}

use std::sync::Arc;

use http::{HeaderValue, Method};
use sap_comm_core::config::ConfigError;

use super::entry::Entry;

/// All routes, as a tree of path segments.
#[derive(Debug, Default)]
pub(super) struct Table {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    literals: Vec<(Box<str>, Self)>,
    parameter: Option<Box<Self>>,
    /// The routes that end here, the more special ones first.
    entries: Vec<Arc<Entry>>,
}

/// One segment of a route's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    Literal(Box<str>),
    Parameter,
}

/// What the table says about a request.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// This route, which matched so many bytes of the path.
    Route(&'a Arc<Entry>, usize),
    /// The path is routed, for other methods.
    OtherMethods(Option<HeaderValue>),
    /// No route takes the path.
    Nothing,
}

struct Best<'a> {
    node: &'a Node,
    depth: usize,
    end: usize,
}

impl Table {
    pub(super) fn new(entries: Vec<Arc<Entry>>) -> Result<Self, ConfigError> {
        for (index, entry) in entries.iter().enumerate() {
            if let Some(other) = entries[..index].iter().find(|other| conflict(entry, other)) {
                let field = format!("routes[{}].path", entry.pattern);
                return Err(ConfigError::refused(
                    &field,
                    &entry.pattern,
                    format!("takes the same requests as route {}", other.pattern),
                ));
            }
        }
        let mut table = Self::default();
        for entry in entries {
            let mut node = &mut table.root;
            for segment in &entry.segments {
                node = node.child(segment);
            }
            node.entries.push(entry);
            node.entries.sort_by_key(|entry| entry.generality());
        }
        Ok(table)
    }

    /// The route for a host and a normal path: the one with the most segments, and at a tie the one whose literals come
    /// first, then the one that names the host, then the exact one.
    pub(super) fn find(&self, method: &Method, host: Option<&HeaderValue>, path: &str) -> Found<'_> {
        let mut best = None;
        let host = host.map(HeaderValue::as_bytes).unwrap_or_default();
        self.root.walk(host, path, 0, 0, &mut best);
        let Some(Best { node, end, .. }) = best else { return Found::Nothing };
        let rest = path.get(end..).unwrap_or_default();
        match node.entries(host, rest).find(|entry| entry.takes(method)) {
            Some(entry) => Found::Route(entry, end),
            None => Found::OtherMethods(node.allowed_methods(host, rest)),
        }
    }
}

impl Node {
    fn child(&mut self, segment: &Segment) -> &mut Self {
        match segment {
            Segment::Parameter => self.parameter.get_or_insert_default(),
            Segment::Literal(text) => {
                let index = match self.literals.iter().position(|(own, _)| own == text) {
                    Some(index) => index,
                    None => {
                        self.literals.push((text.clone(), Self::default()));
                        self.literals.len() - 1
                    }
                };
                &mut self.literals[index].1
            }
        }
    }

    /// Looks below this node, which took `path[..end]`, for the deepest one with routes.
    fn walk<'a>(&'a self, host: &[u8], path: &str, end: usize, depth: usize, best: &mut Option<Best<'a>>) {
        let rest = path.get(end..).unwrap_or_default();
        if best.as_ref().is_none_or(|best| best.depth < depth) && self.entries(host, rest).next().is_some() {
            *best = Some(Best { node: self, depth, end });
        }
        let Some(rest) = rest.strip_prefix('/') else { return };
        let segment = rest.get(..rest.bytes().position(|byte| byte == b'/').unwrap_or(rest.len())).unwrap_or_default();
        if segment.is_empty() {
            return;
        }
        let end = end + 1 + segment.len();
        if let Some((_, child)) = self.literals.iter().find(|(text, _)| **text == *segment) {
            child.walk(host, path, end, depth + 1, best);
        }
        if let Some(child) = &self.parameter {
            child.walk(host, path, end, depth + 1, best);
        }
    }

    /// Those for a host and what is left of a path.
    fn entries<'a>(&'a self, host: &[u8], rest: &str) -> impl Iterator<Item = &'a Arc<Entry>> {
        self.entries.iter().filter(move |entry| entry.takes_rest(rest) && entry.takes_host(host))
    }

    /// `Allow`, for methods that no entry takes.
    fn allowed_methods(&self, host: &[u8], rest: &str) -> Option<HeaderValue> {
        allow(self.entries(host, rest).flat_map(|entry| &entry.methods))
    }
}

/// `Allow`, for a path with these methods.
pub(super) fn allow<'a>(methods: impl Iterator<Item = &'a Method>) -> Option<HeaderValue> {
    let mut names: Vec<_> = methods.map(Method::as_str).collect();
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    names.sort_unstable();
    names.dedup();
    HeaderValue::from_str(&names.join(", ")).ok()
}

/// Whether some request would fit both routes equally well.
fn conflict(a: &Entry, b: &Entry) -> bool {
    let methods = a.methods.is_empty()
        || b.methods.is_empty()
        || a.methods.iter().any(|method| b.takes(method))
        || b.methods.iter().any(|method| a.takes(method));
    let pairs = || a.segments.iter().zip(&b.segments);
    let compatible = a.segments.len() == b.segments.len()
        && pairs().all(|(a, b)| a == b || *a == Segment::Parameter || *b == Segment::Parameter);
    let shared = a.hosts.iter().any(|host| b.hosts.contains(host));
    // Beside one that names a host, one that takes any is the more general; and so is one that takes more than its path beside one
    // that does not.
    if !compatible
        || !(shared || a.hosts.is_empty() && b.hosts.is_empty())
        || (a.exact != b.exact && a.segments == b.segments)
    {
        return false;
    }
    let narrower = |x: &Segment, y: &Segment| *x != Segment::Parameter && *y == Segment::Parameter;
    let (first, second) = (pairs().any(|(a, b)| narrower(a, b)), pairs().any(|(a, b)| narrower(b, a)));
    // Of equal paths the methods decide; of crossing ones neither is the more special.
    if first == second { methods || first } else { false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::{Route, entry::Defaults};

    fn table(routes: &[(&str, &[Method])]) -> Result<Table, ConfigError> {
        let entries = routes.iter().map(|(path, methods)| {
            let route = Route::new(*path).methods(methods.iter().cloned()).local().public();
            Entry::compile(route.into(), &Defaults::for_tests()).map(Arc::new)
        });
        Table::new(entries.collect::<Result<_, _>>()?)
    }

    fn find(table: &Table, method: &Method, path: &str) -> Option<String> {
        match table.find(method, None, path) {
            Found::Route(entry, end) => Some(format!("{} {}", entry.pattern, &path[end..])),
            Found::OtherMethods(allow) => Some(format!("allow {}", allow.unwrap().to_str().unwrap())),
            Found::Nothing => None,
        }
    }

    #[test]
    fn the_route_with_the_most_segments_wins() {
        let table = table(&[
            ("/api/v1/users", &[]),
            ("/api/v1/users/me", &[Method::GET]),
            ("/api/v1/users/{id}/secrets", &[Method::GET]),
        ])
        .unwrap();
        for (path, found) in [
            ("/api/v1/users", Some("/api/v1/users ")),
            ("/api/v1/users/", Some("/api/v1/users /")),
            ("/api/v1/users/7", Some("/api/v1/users /7")),
            ("/api/v1/users/me", Some("/api/v1/users/me ")),
            ("/api/v1/users/me/secrets", Some("/api/v1/users/{id}/secrets ")),
            ("/api/v1/users2", None),
            ("/API/v1/users", None),
            ("/", None),
        ] {
            assert_eq!(find(&table, &Method::GET, path).as_deref(), found, "{path}");
        }
    }

    #[test]
    fn an_exact_route_takes_nothing_below_its_path() {
        let route = |path: &str, exact: bool, method: Method| {
            let route = Route::new(path).methods([method]).local().public();
            let route = if exact { route.exact() } else { route };
            Arc::new(Entry::compile(route.into(), &Defaults::for_tests()).unwrap())
        };
        let table = Table::new(vec![
            route("/", true, Method::GET),
            route("/items/{id}", true, Method::GET),
            route("/items/{id}", false, Method::POST),
            route("/items/{id}/parts/{part}", true, Method::GET),
            route("/files", false, Method::GET),
            route("/files/{id}", true, Method::GET),
        ])
        .unwrap();
        for (path, found) in [
            ("/", Some("/ /")),
            ("/items", None),
            ("/items/1", Some("/items/{id} ")),
            ("/items/1/", Some("/items/{id} /")),
            ("/items/1/audit", Some("allow POST")),
            ("/items/1/parts/2", Some("/items/{id}/parts/{part} ")),
            ("/items/1/parts/2/x", Some("allow POST")),
            ("/files/1/x", Some("/files /1/x")),
        ] {
            assert_eq!(find(&table, &Method::GET, path).as_deref(), found, "{path}");
        }
        assert_eq!(find(&table, &Method::POST, "/items/1/audit").as_deref(), Some("/items/{id} /audit"));
        assert_eq!(find(&table, &Method::DELETE, "/items/1").as_deref(), Some("allow GET, HEAD, POST"));
    }

    #[test]
    fn an_exact_route_stands_beside_one_that_takes_what_lies_below() {
        let route = |service: &str, hosts: &[&str], methods: &[Method], exact: bool| {
            let route = Route::new("/files").hosts(hosts.iter().copied()).methods(methods.iter().cloned());
            let route = route.to(service).public();
            let route = if exact { route.exact() } else { route };
            Arc::new(Entry::compile(route.into(), &Defaults::for_tests()).unwrap())
        };
        let mut routes = vec![
            route("below", &[], &[], false),
            route("exact", &[], &[Method::GET], true),
            route("of host", &["a.example"], &[], false),
        ];
        assert!(!routes[0].is_at(&route("other", &[], &[], true)));
        assert!(routes[1].is_at(&route("other", &[], &[Method::GET], true)));
        for _ in 0..routes.len() {
            routes.rotate_left(1);
            let table = Table::new(routes.clone()).unwrap();
            for (method, host, path, service) in [
                (Method::GET, "b", "/files", "exact"),
                (Method::HEAD, "b", "/files/", "exact"),
                (Method::GET, "b", "/files/7", "below"),
                (Method::POST, "b", "/files", "below"),
                (Method::GET, "a.example", "/files", "of host"),
            ] {
                let found = table.find(&method, Some(&HeaderValue::from_static(host)), path);
                let found = if let Found::Route(entry, _) = found { entry.service() } else { None };
                assert_eq!(found, Some(service), "{method} {host} {path}");
            }
        }
        routes.push(route("again", &[], &[Method::HEAD], true));
        assert_eq!(Table::new(routes).unwrap_err().field(), "routes[/files].path");
    }

    #[test]
    fn a_route_that_names_the_host_wins_among_equals() {
        let route = |path: &str, hosts: &[&str], service: &str| {
            let route = Route::new(path).hosts(hosts.iter().copied()).to(service).public();
            Arc::new(Entry::compile(route.into(), &Defaults::for_tests()).unwrap())
        };
        let table = Table::new(vec![
            route("/a", &[], "any"),
            route("/a", &["one.example"], "one"),
            route("/a", &["*.example"], "below"),
            route("/a/b", &[], "deep"),
            route("/only", &["one.example"], "only"),
        ])
        .unwrap();
        for (host, path, service) in [
            ("one.example:80", "/a", Some("one")),
            ("two.example", "/a", Some("below")),
            ("elsewhere", "/a", Some("any")),
            ("one.example", "/a/b", Some("deep")),
            ("one.example", "/only", Some("only")),
            ("two.example", "/only", None),
        ] {
            let found = table.find(&Method::GET, Some(&HeaderValue::from_str(host).unwrap()), path);
            let found = if let Found::Route(entry, _) = found { entry.service() } else { None };
            assert_eq!(found, service, "{host} {path}");
        }
        let twice = vec![route("/a", &["a.example", "b.example"], "x"), route("/a", &["B.example"], "y")];
        assert_eq!(Table::new(twice).unwrap_err().field(), "routes[/a].path");
    }

    #[test]
    fn other_methods_are_named() {
        let table = table(&[("/a", &[Method::GET]), ("/a", &[Method::POST]), ("/", &[])]).unwrap();
        assert_eq!(find(&table, &Method::DELETE, "/a/b").as_deref(), Some("allow GET, HEAD, POST"));
        assert_eq!(find(&table, &Method::HEAD, "/a").as_deref(), Some("/a "));
        assert_eq!(find(&table, &Method::DELETE, "/b/c").as_deref(), Some("/ /b/c"));
    }

    #[test]
    fn duplicate_and_ambiguous_routes_are_refused() {
        for routes in [
            &[("/a", &[][..]), ("/a", &[Method::GET][..])][..],
            &[("/a", &[Method::GET]), ("/a", &[Method::HEAD])],
            &[("/a/{x}", &[]), ("/a/{y}", &[])],
            &[("/a/{x}/c", &[Method::GET]), ("/a/b/{y}", &[Method::POST])],
        ] {
            let error = table(routes).unwrap_err();
            assert_eq!(error.field(), format!("routes[{}].path", routes[1].0));
        }
        assert!(table(&[("/a/{x}", &[]), ("/a/b", &[])]).is_ok());
    }
}

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Changes, elements, entries, resolve, schemas::Direction};

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// Operations by path, its parameters unnamed, and method.
type Operations<'a> = BTreeMap<(String, &'static str), Place<'a>>;

/// What something is called, and how it is.
type Fact = (&'static str, String);

struct Place<'a> {
    path: &'a str,
    item: &'a Value,
    operation: &'a Value,
}

impl<'a> Changes<'a> {
    pub(super) fn operations(&mut self) {
        self.servers();
        let (before, after) = (operations(self.before), operations(self.after));
        for ((shape, method), old) in &before {
            let place = format!("{} {}", method.to_ascii_uppercase(), old.path);
            match after.get(&(shape.clone(), *method)) {
                Some(new) => self.operation(&place, old, new),
                None => self.breaking(&place, "is gone"),
            }
        }
        for (key, new) in &after {
            if !before.contains_key(key) {
                self.compatible(&format!("{} {}", key.1.to_ascii_uppercase(), new.path), "is new");
            }
        }
    }

    /// Where the paths begin; on which host is for each environment to say.
    fn servers(&mut self) {
        let (before, after) = (bases(self.before), bases(self.after));
        for base in before.iter().filter(|base| !after.contains(base)) {
            self.breaking("servers", format!("none serves below {base} any more"));
        }
    }

    fn operation(&mut self, place: &str, old: &Place<'a>, new: &Place<'a>) {
        let id = |place: &Place<'a>| place.operation.get("operationId").and_then(Value::as_str);
        if let (Some(before), after) = (id(old), id(new))
            && after != Some(before)
        {
            let after = after.unwrap_or("none");
            self.breaking(place, format!("operationId was {before}, is {after}: generated clients name it so"));
        }
        self.parameters(place, old, new);
        self.body(place, &old.operation["requestBody"], &new.operation["requestBody"]);
        self.responses(place, &old.operation["responses"], &new.operation["responses"]);
        self.security(place, old.operation, new.operation);
    }

    fn parameters(&mut self, place: &str, old: &Place<'a>, new: &Place<'a>) {
        let (before, after) = (parameters(self.before, old), parameters(self.after, new));
        for (key, old) in &before {
            let (location, name) = key;
            let place = format!("{place} {location} parameter {}", old["name"].as_str().unwrap_or(name));
            let Some(new) = after.get(key) else {
                self.breaking(&place, "is gone");
                continue;
            };
            if new["required"] == true && old["required"] != true {
                self.breaking(&place, "is required now");
            }
            self.facts(&place, written(self.before, old), written(self.after, new));
            self.schema(Direction::Taken, &place, &old["schema"], &new["schema"]);
            self.content(Direction::Taken, &place, &old["content"], &new["content"]);
        }
        for (key, new) in &after {
            let place = format!("{place} {} parameter {}", key.0, new["name"].as_str().unwrap_or(&key.1));
            match before.contains_key(key) {
                true => {}
                false if new["required"] == true => self.breaking(&place, "is new, and required"),
                false => self.compatible(&place, "is new"),
            }
        }
    }

    /// What callers go by, any change of which breaks them.
    fn facts<const N: usize>(&mut self, place: &str, before: [Fact; N], after: [Fact; N]) {
        for ((what, before), (_, after)) in before.into_iter().zip(after) {
            if before != after {
                self.breaking(place, format!("{what} was {before}, is {after}"));
            }
        }
    }

    fn body(&mut self, place: &str, old: &'a Value, new: &'a Value) {
        let (old, new) = (resolve(self.before, old), resolve(self.after, new));
        let place = format!("{place} body");
        match (old.is_null(), new.is_null()) {
            (true, true) => {}
            (true, false) if new["required"] == true => self.breaking(&place, "is new, and required"),
            (true, false) => self.compatible(&place, "is new"),
            (false, true) => self.breaking(&place, "is taken no more"),
            (false, false) => {
                if new["required"] == true && old["required"] != true {
                    self.breaking(&place, "is required now");
                }
                self.content(Direction::Taken, &place, &old["content"], &new["content"]);
            }
        }
    }

    fn responses(&mut self, place: &str, old: &'a Value, new: &'a Value) {
        for (status, before) in entries(old) {
            let place = format!("{place} {status}");
            let success = status.starts_with(['2', '3']);
            match new.get(status) {
                Some(after) => {
                    let (before, after) = (resolve(self.before, before), resolve(self.after, after));
                    self.content(Direction::Answered, &place, &before["content"], &after["content"]);
                    self.headers(&place, &before["headers"], &after["headers"]);
                }
                None if success => self.breaking(&place, "is answered no more"),
                None => self.compatible(&place, "is answered no more"),
            }
        }
        for (status, _) in entries(new) {
            if old.get(status).is_none() {
                self.compatible(&format!("{place} {status}"), "is new");
            }
        }
    }

    fn headers(&mut self, place: &str, old: &'a Value, new: &'a Value) {
        for (name, before) in entries(old) {
            let place = format!("{place} header {name}");
            match new.get(name) {
                Some(after) => {
                    let (before, after) = (resolve(self.before, before), resolve(self.after, after));
                    if before["required"] == true && after["required"] != true {
                        self.breaking(&place, "may be missing now");
                    }
                    self.schema(Direction::Answered, &place, &before["schema"], &after["schema"]);
                }
                None if resolve(self.before, before)["required"] == true => self.breaking(&place, "is gone"),
                None => self.compatible(&place, "is gone"),
            }
        }
    }

    fn content(&mut self, direction: Direction, place: &str, old: &'a Value, new: &'a Value) {
        for (content_type, before) in entries(old) {
            match new.get(content_type) {
                Some(after) => self.schema(direction, place, &before["schema"], &after["schema"]),
                None => self.breaking(place, format!("has no {content_type} any more")),
            }
        }
        for (content_type, _) in entries(new) {
            if old.get(content_type).is_none() {
                self.compatible(place, format!("has {content_type} now"));
            }
        }
    }

    /// Who could call the operation still can: some way to authenticate needs no more than the one they use.
    fn security(&mut self, place: &str, old: &'a Value, new: &'a Value) {
        let (old, new) = (security(self.before, old), security(self.after, new));
        let suffices = |used: &Value, needed: &Value| {
            entries(needed).all(|(scheme, needs)| {
                used.get(scheme).is_some_and(|has| elements(needs).iter().all(|need| elements(has).contains(need)))
            })
        };
        if new.is_empty() {
            return;
        }
        let stays = |name: &String| new.iter().any(|needed| needed.get(name).is_some());
        for (name, _) in old.iter().flat_map(entries).filter(|(name, _)| stays(name)) {
            self.facts(&format!("security scheme {name}"), scheme(self.before, name), scheme(self.after, name));
        }
        if old.is_empty() && !new.iter().any(|needed| needed.as_object().is_some_and(serde_json::Map::is_empty)) {
            self.breaking(place, "needs a credential now");
        }
        for used in old {
            if !new.iter().any(|needed| suffices(used, needed)) {
                let schemes: Vec<_> = entries(used).map(|(scheme, needs)| format!("{scheme} {needs}")).collect();
                self.breaking(place, format!("is not open to {} any more", schemes.join(" and ")));
            }
        }
    }
}

fn operations(document: &Value) -> Operations<'_> {
    let mut found = Operations::new();
    for (path, item) in entries(&document["paths"]) {
        for method in METHODS {
            if let Some(operation) = item.get(method) {
                found.insert((shape(path), method), Place { path, item, operation });
            }
        }
    }
    found
}

/// A path with its parameters unnamed: how they are called is nothing to a caller.
fn shape(path: &str) -> String {
    let segment = |segment: &str| if segment.starts_with('{') { "{}".to_owned() } else { segment.to_owned() };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// Parameters by where they are and what they are called; those of the path by their place.
fn parameters<'a>(document: &'a Value, place: &Place<'a>) -> BTreeMap<(String, String), &'a Value> {
    let mut found = BTreeMap::new();
    for parameter in elements(&place.item["parameters"]).iter().chain(elements(&place.operation["parameters"])) {
        let parameter = resolve(document, parameter);
        let text = |key: &str| parameter[key].as_str().unwrap_or_default().to_owned();
        let (location, mut name) = (text("in"), text("name"));
        if location == "path" {
            let position = place.path.split('/').position(|segment| segment == format!("{{{name}}}"));
            name = position.map_or(name, |position| position.to_string());
        } else if location == "header" {
            name.make_ascii_lowercase();
        }
        found.insert((location, name), parameter);
    }
    found
}

/// How a parameter is written, with what holds where nothing is said. Only of several values it matters how they are put together, and of
/// content its type says everything.
fn written(document: &Value, parameter: &Value) -> [Fact; 4] {
    let has_schema = parameter["content"].is_null();
    let in_query = matches!(parameter["in"].as_str(), Some("query" | "cookie"));
    let style = parameter["style"].as_str().unwrap_or(if in_query { "form" } else { "simple" });
    let kind = &resolve(document, &parameter["schema"])["type"];
    let has_parts =
        ["array", "object"].iter().any(|part| kind == part || elements(kind).iter().any(|kind| kind == part));
    let explode = parameter["explode"].as_bool().unwrap_or(style == "form");
    let explode = has_parts.then_some(explode);
    let reserved = (parameter["allowReserved"] == true).to_string();
    let none = || "none".to_owned();
    let (style, explode) = match has_schema {
        true => (style.to_owned(), explode.map_or_else(none, |explode| explode.to_string())),
        false => (none(), none()),
    };
    let by = if has_schema { "by schema" } else { "by content" };
    [("how it is written", by.into()), ("style", style), ("explode", explode), ("allowReserved", reserved)]
}

/// What a credential must look like to a scheme.
fn scheme(document: &Value, name: &str) -> [Fact; 5] {
    let scheme = resolve(document, &document["components"]["securitySchemes"][name]);
    ["type", "in", "name", "scheme", "openIdConnectUrl"].map(|key| {
        let text = scheme[key].as_str().unwrap_or("none");
        // Its name has no case.
        (key, if key == "scheme" { text.to_ascii_lowercase() } else { text.to_owned() })
    })
}

/// What the paths of a document stand below.
fn bases(document: &Value) -> Vec<String> {
    let servers = elements(&document["servers"]).iter().filter_map(|server| server["url"].as_str());
    let base = |url: &str| {
        let path =
            url.split_once("://").map_or(url, |(_, rest)| rest.find('/').and_then(|at| rest.get(at..)).unwrap_or(""));
        format!("{}/", path.trim_end_matches('/'))
    };
    let bases: Vec<_> = servers.map(base).collect();
    if bases.is_empty() { vec!["/".to_owned()] } else { bases }
}

fn security<'a>(document: &'a Value, operation: &'a Value) -> &'a [Value] {
    elements(operation.get("security").unwrap_or(&document["security"]))
}

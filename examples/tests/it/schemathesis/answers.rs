use std::{collections::BTreeMap, fmt};

use serde_json::Value;

const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// How often each operation of a document was answered with each status.
pub(super) struct Answers(BTreeMap<String, BTreeMap<u64, usize>>);

impl Answers {
    /// Reads the report of a run (HAR). What was asked of no operation of the document counts nowhere.
    pub(super) fn read(document: &Value, har: &str) -> Self {
        let mut all = BTreeMap::new();
        for (path, operations) in document["paths"].as_object().into_iter().flatten() {
            for method in METHODS.into_iter().filter(|method| operations[*method].is_object()) {
                all.insert(format!("{} {path}", method.to_ascii_uppercase()), BTreeMap::new());
            }
        }
        let har: Value = serde_json::from_str(har).unwrap_or_default();
        for entry in har["log"]["entries"].as_array().into_iter().flatten() {
            let (method, url) = (entry["request"]["method"].as_str(), entry["request"]["url"].as_str());
            let Some((method, url)) = method.zip(url) else { continue };
            let path = url.splitn(4, '/').nth(3).unwrap_or_default().split(['?', '#']).next().unwrap_or_default();
            let operation = all.iter_mut().find(|(operation, _)| asks(method, path, operation));
            if let (Some((_, statuses)), Some(status)) = (operation, entry["response"]["status"].as_u64()) {
                *statuses.entry(status).or_default() += 1;
            }
        }
        Self(all)
    }

    /// Operations that were never answered with 2xx.
    pub(super) fn without_success(&self) -> impl Iterator<Item = String> {
        self.0
            .iter()
            .filter(|(_, statuses)| !statuses.keys().any(|status| status / 100 == 2))
            .map(|(name, _)| name.clone())
    }

    /// Operations of whose answers more than `share` had one of these statuses.
    pub(super) fn dominated_by(&self, statuses: &[u64], share: f64) -> impl Iterator<Item = String> {
        let dominated = move |answers: &BTreeMap<u64, usize>| {
            let all: usize = answers.values().sum();
            let these: usize = statuses.iter().filter_map(|status| answers.get(status)).sum();
            these as f64 > all as f64 * share
        };
        self.0.iter().filter(move |(_, answers)| dominated(answers)).map(|(name, _)| name.clone())
    }
}

/// Whether a request for `path`, without its first slash, is one of `PUT /a/{b}`.
fn asks(method: &str, path: &str, operation: &str) -> bool {
    let Some((own, template)) = operation.split_once(" /") else { return false };
    let (mut segments, mut template) = (path.split('/'), template.split('/'));
    let fit = segments.by_ref().zip(template.by_ref()).all(|(own, one)| own == one || one.starts_with('{'));
    method == own && fit && path.split('/').count() == operation.matches('/').count()
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(operation, statuses)| writeln!(f, "{operation}: {statuses:?}"))
    }
}

#[test]
fn requests_are_counted_by_operation_and_status() {
    let document = serde_json::json!({"paths": {
        "/a": {"get": {}, "parameters": []}, "/a/{b}": {"get": {}}, "/a/{b}/c": {"get": {}},
    }});
    let entry = |url: &str, status: u16| {
        serde_json::json!({
            "request": {"method": "GET", "url": format!("http://127.0.0.1:1{url}")}, "response": {"status": status},
        })
    };
    let entries =
        [entry("/a?b=/c", 200), entry("/a/7", 401), entry("/a/8", 204), entry("/a/7/d", 200), entry("/x", 200)];
    let har = serde_json::json!({"log": {"entries": entries}}).to_string();
    let answers = Answers::read(&document, &har);
    assert_eq!(answers.to_string(), "GET /a: {200: 1}\nGET /a/{b}: {204: 1, 401: 1}\nGET /a/{b}/c: {}\n");
    assert_eq!(answers.without_success().collect::<Vec<_>>(), ["GET /a/{b}/c"]);
    assert_eq!(answers.dominated_by(&[401], 0.4).collect::<Vec<_>>(), ["GET /a/{b}"]);
    assert_eq!(answers.dominated_by(&[401], 0.5).count(), 0);
}

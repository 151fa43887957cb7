use serde_json::Value;

/// The path of a field as the JSON that was sent spells it: `profile.firstName` for the field `profile.first_name`.
///
/// garde knows the names of Rust. A field that was sent is found again by its letters; one that was left out is spelled
/// like its neighbours, and in camel case when it has none.
pub(super) fn in_json(path: &garde::Path, sent: &Value) -> String {
    let components: Vec<(String, String)> =
        serde_json::to_value(path).and_then(serde_json::from_value).unwrap_or_else(|_| vec![Default::default()]);
    let mut spelled = String::new();
    let mut place = Some(sent);
    for (kind, name) in components {
        match kind.as_str() {
            "index" => {
                spelled.push_str(&format!("[{name}]"));
                place = place.and_then(|value| value.get(name.parse::<usize>().ok()?));
            }
            "key" => {
                let name = spell(&name, place);
                place = place.and_then(|value| value.get(&name));
                if !spelled.is_empty() {
                    spelled.push('.');
                }
                spelled.push_str(&name);
            }
            _ => {}
        }
    }
    if spelled.is_empty() { "body".to_owned() } else { spelled }
}

fn spell(name: &str, object: Option<&Value>) -> String {
    let keys = || object.and_then(Value::as_object).into_iter().flat_map(|object| object.keys());
    if keys().any(|key| key == name) {
        return name.to_owned();
    }
    if let Some(key) = keys().find(|key| letters(key).eq(letters(name))) {
        return key.clone();
    }
    if keys().any(|key| key.contains('_')) { name.to_owned() } else { camel_case(name) }
}

fn letters(name: &str) -> impl Iterator<Item = char> {
    name.chars().filter(|c| c.is_alphanumeric()).map(|c| c.to_ascii_lowercase())
}

fn camel_case(name: &str) -> String {
    let mut spelled = String::with_capacity(name.len());
    let mut upper = false;
    for c in name.chars() {
        match c {
            '_' if !spelled.is_empty() => upper = true,
            c if std::mem::take(&mut upper) => spelled.push(c.to_ascii_uppercase()),
            c => spelled.push(c),
        }
    }
    spelled
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_is_named_as_it_was_sent() {
        let path = garde::Path::new("profile").join("first_name");
        for (sent, expected) in [
            (json!({"profile": {"firstName": 1}}), "profile.firstName"),
            (json!({"profile": {"first_name": 1}}), "profile.first_name"),
            (json!({"profile": {"first-name": 1}}), "profile.first-name"),
            (json!({"profile": {"last_name": 1}}), "profile.first_name"),
            (json!({"profile": {}}), "profile.firstName"),
            (json!(null), "profile.firstName"),
        ] {
            assert_eq!(in_json(&path, &sent), expected, "{sent}");
        }
        assert_eq!(in_json(&garde::Path::new("roles").join(1_usize), &json!({"roles": []})), "roles[1]");
        assert_eq!(in_json(&garde::Path::empty(), &json!({})), "body");
    }
}

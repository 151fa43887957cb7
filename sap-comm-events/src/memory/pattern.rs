//! Topic patterns: words between dots, `*` for one word, `#` for any number of them.

/// Whether routing key `key` matches `pattern`.
pub(crate) fn matches(pattern: &str, key: &str) -> bool {
    if pattern == "#" || pattern == key {
        return true;
    }
    if !pattern.contains(['*', '#']) {
        return false;
    }
    let pattern: Vec<&str> = pattern.split('.').collect();
    let key: Vec<&str> = if key.is_empty() { Vec::new() } else { key.split('.').collect() };
    // reached[i]: the words of the pattern so far can end after i words of the key.
    let mut reached = vec![false; key.len() + 1];
    reached[0] = true;
    for word in pattern {
        let mut next = vec![false; key.len() + 1];
        for from in (0..=key.len()).filter(|from| reached[*from]) {
            match word {
                "#" => next[from..].fill(true),
                "*" if from < key.len() => next[from + 1] = true,
                _ if key.get(from) == Some(&word) => next[from + 1] = true,
                _ => {}
            }
        }
        reached = next;
    }
    reached[key.len()]
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_rabbitmq_documents_them() {
        for (pattern, key, expected) in [
            ("user.created", "user.created", true),
            ("user.created", "user.deleted", false),
            ("user.*", "user.created", true),
            ("user.*", "user", false),
            ("user.*", "user.profile.created", false),
            ("*.*.rabbit", "quick.orange.rabbit", true),
            ("lazy.#", "lazy", true),
            ("lazy.#", "lazy.pink.rabbit", true),
            ("#.created", "user.created", true),
            ("#.a.#", "x.a.y.z", true),
            ("#.a.#", "x.y", false),
            ("#", "", true),
            ("*", "", false),
        ] {
            assert_eq!(matches(pattern, key), expected, "{pattern} {key}");
        }
    }
}

use http::{HeaderMap, header::ACCEPT};

/// What a response is written as. The statuses differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MediaType {
    /// `application/graphql-response+json`: a query at fault is a 400.
    GraphqlResponse,
    /// `application/json`: a query at fault is a 200, as old clients expect.
    Json,
}

const GRAPHQL: &str = "application/graphql-response+json";
const JSON: &str = "application/json";

/// The media type to answer with; `None` when the client accepts neither. Without a wish it is JSON.
pub(super) fn negotiate(headers: &HeaderMap) -> Option<MediaType> {
    if !headers.contains_key(ACCEPT) {
        return Some(MediaType::Json);
    }
    let (mut graphql, mut json) = (0.0_f32, None);
    let mut wildcard = 0.0_f32;
    for (media, quality) in ranges(headers) {
        match media.as_str() {
            GRAPHQL => graphql = graphql.max(quality),
            JSON => json = Some(json.unwrap_or(0.0_f32).max(quality)),
            "*/*" | "application/*" => wildcard = wildcard.max(quality),
            _ => {}
        }
    }
    let named = json.unwrap_or(0.0);
    if graphql > 0.0 && graphql >= named {
        return Some(MediaType::GraphqlResponse);
    }
    (json.unwrap_or(wildcard) > 0.0).then_some(MediaType::Json)
}

/// Whether the client asks for HTML by name, and not less than for JSON.
pub(super) fn prefers_html(headers: &HeaderMap) -> bool {
    let quality = |wanted: &[&str]| {
        ranges(headers)
            .filter(|(media, _)| wanted.contains(&media.as_str()))
            .map(|(_, quality)| quality)
            .fold(0.0, f32::max)
    };
    let html = quality(&["text/html"]);
    html > 0.0 && html >= quality(&[GRAPHQL, JSON])
}

fn ranges(headers: &HeaderMap) -> impl Iterator<Item = (String, f32)> {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().filter(|media| !media.is_empty())?.to_ascii_lowercase();
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        Some((media, quality.map_or(1.0, |text| text.parse().unwrap_or(0.0))))
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn accept(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(value))])
    }

    #[test]
    fn the_better_type_wins_and_wildcards_mean_json() {
        for (value, expected) in [
            ("application/graphql-response+json", Some(MediaType::GraphqlResponse)),
            (
                "application/graphql-response+json; charset=utf-8, application/json;q=0.9",
                Some(MediaType::GraphqlResponse),
            ),
            ("application/graphql-response+json;q=0.1, application/json", Some(MediaType::Json)),
            ("application/json", Some(MediaType::Json)),
            ("*/*", Some(MediaType::Json)),
            ("text/html, application/*;q=0.5", Some(MediaType::Json)),
            ("text/html", None),
            ("application/json;q=0", None),
        ] {
            assert_eq!(negotiate(&accept(value)), expected, "{value}");
        }
        assert_eq!(negotiate(&HeaderMap::new()), Some(MediaType::Json));
    }

    #[test]
    fn only_those_who_name_html_get_a_page() {
        assert!(prefers_html(&accept("text/html,application/xhtml+xml,*/*;q=0.8")));
        assert!(!prefers_html(&accept("*/*")));
        assert!(!prefers_html(&accept("application/json, text/html;q=0.5")));
    }
}

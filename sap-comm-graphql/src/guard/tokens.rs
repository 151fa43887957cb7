use super::{GuardLimits, Refused, within};

/// Counts tokens and nesting without building anything; what is not GraphQL is left to the parser.
pub(super) fn check(limits: &GuardLimits, query: &str) -> Result<(), Refused> {
    within(query.len(), "max_query", limits.max_query)?;
    let (mut tokens, mut nesting) = (0_usize, 0_usize);
    let mut rest = query.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b',' => {
                rest = after;
                continue;
            }
            b'#' => {
                rest = skip_while(after, |byte| !matches!(byte, b'\r' | b'\n'));
                continue;
            }
            b'"' => skip_string(after),
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => skip_while(after, |byte| byte == b'_' || byte.is_ascii_alphanumeric()),
            b'-' | b'0'..=b'9' => {
                skip_while(after, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-'))
            }
            b'.' => skip_while(after, |byte| byte == b'.'),
            b'{' | b'[' | b'(' => {
                nesting += 1;
                within(nesting, "max_nesting", GuardLimits::MAX_NESTING)?;
                after
            }
            b'}' | b']' | b')' => {
                nesting = nesting.saturating_sub(1);
                after
            }
            _ => after,
        };
        tokens += 1;
        within(tokens, "max_tokens", limits.max_tokens)?;
    }
    Ok(())
}

fn skip_while(bytes: &[u8], mut matches: impl FnMut(u8) -> bool) -> &[u8] {
    let end = bytes.iter().position(|&byte| !matches(byte)).unwrap_or(bytes.len());
    bytes.split_at(end).1
}

/// Past the end of a string whose first quote was read.
fn skip_string(bytes: &[u8]) -> &[u8] {
    if let Some(mut block) = bytes.strip_prefix(b"\"\"") {
        while !block.is_empty() {
            if let Some(after) = block.strip_prefix(b"\\\"\"\"") {
                block = after;
            } else if let Some(after) = block.strip_prefix(b"\"\"\"") {
                return after;
            } else {
                block = block.split_at(1).1;
            }
        }
        return block;
    }
    let mut escaped = false;
    let end = bytes.iter().position(|&byte| {
        let ends = matches!(byte, b'"' | b'\r' | b'\n') && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(&[], |end| bytes.split_at(end + 1).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(max_tokens: usize) -> GuardLimits {
        GuardLimits { max_tokens, ..GuardLimits::default() }
    }

    #[test]
    fn tokens_are_counted_as_the_grammar_has_them() {
        for (query, tokens) in [
            ("", 0),
            ("{ a }", 3),
            ("query Q($id: ID! = \"x {{{ \\\" y\") { user(id: $id) { ...F } } # a comment {{{", 24),
            ("{ a(text: \"\"\"block \" {{{ \\\"\"\" end\"\"\") }", 8),
            ("{ a(n: -1.5e+10, list: [1, 2]) }", 14),
        ] {
            assert!(check(&limits(tokens.max(1)), query).is_ok(), "{query}");
            assert!(tokens == 0 || check(&limits(tokens - 1), query).is_err(), "{query}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_before_it_is_parsed() {
        for bracket in ["{", "[", "(", "{a"] {
            assert!(check(&limits(5_000), &bracket.repeat(1_000)).is_err(), "{bracket}");
        }
    }

    #[test]
    fn unfinished_strings_end_somewhere() {
        for query in ["\"", "\"\\", "\"\"\"", "\"\"\"\\\"\"\"", "{ a(x: \"", "\"é"] {
            assert!(check(&limits(100), query).is_ok(), "{query}");
        }
    }
}

//! Where an answer ends.

use crate::BenchError;

const END: &[u8] = b"\r\n\r\n";

/// The head of a good answer: how long it is, and how long the body behind it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) length: usize,
    pub(super) body: u64,
}

/// Reads the head of an answer; `None` while it is not whole. Whatever is not 200 with a length is an error; where refusals
/// are asked for, whatever is not one for want of the upstream.
pub(super) fn head(bytes: &[u8], refusals: bool) -> Result<Option<Head>, BenchError> {
    let Some(end) = bytes.windows(END.len()).position(|window| window == END) else { return Ok(None) };
    let length = end + END.len();
    let text = std::str::from_utf8(&bytes[..end]).map_err(BenchError::refused("read an answer"))?;
    let unexpected = || BenchError::refused("load the proxy")(format!("it answered {text:?}"));
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let body =
        lines.filter_map(|line| line.split_once(':')).find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    match (status, body.and_then(|(_, value)| value.trim().parse().ok())) {
        (Some("503" | "504"), Some(body)) if refusals => Ok(Some(Head { length, body })),
        (Some("200"), Some(body)) if !refusals => Ok(Some(Head { length, body })),
        _ => Err(unexpected()),
    }
}

/// The length of a whole answer at the beginning of `bytes`; `None` while more has to come.
pub(super) fn whole(bytes: &[u8], refusals: bool) -> Result<Option<usize>, BenchError> {
    let Some(head) = head(bytes, refusals)? else { return Ok(None) };
    let length = usize::try_from(head.body).map_or(usize::MAX, |body| head.length.saturating_add(body));
    Ok((bytes.len() >= length).then_some(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_last_byte() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1";
        assert_eq!(whole(answer, false).unwrap(), Some(answer.len() - 8));
        for short in 0..answer.len() - 8 {
            assert_eq!(whole(&answer[..short], false).unwrap(), None);
        }
    }

    #[test]
    fn only_what_was_asked_for_is_taken() {
        let refusal = b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(whole(refusal, true).unwrap(), Some(refusal.len()));
        assert!(whole(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", true).is_err());
        for answer in ["HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"] {
            assert!(whole(answer.as_bytes(), false).unwrap_err().to_string().contains("it answered"), "{answer}");
        }
    }
}

use super::connect_error;

/// Follows the frames that a server writes (RFC 6455, section 5.2), and rewrites small text frames.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// What was read of the frame that is not complete: its header, and its payload if that is held back.
    held: Vec<u8>,
    /// Bytes of a payload that pass as they are.
    passing: u64,
}

/// Larger frames pass without being looked at: a refusal is smaller.
const MAX_HELD: u64 = 8 * 1024;

/// The header of one frame.
struct Header {
    len: usize,
    payload: u64,
    text: bool,
}

impl Header {
    /// `None` while it is not complete.
    fn read(bytes: &[u8]) -> Option<Self> {
        let [first, second, rest @ ..] = bytes else { return None };
        let (len, payload) = match second & 0x7f {
            126 => (4, u64::from(u16::from_be_bytes(rest.get(..2)?.try_into().ok()?))),
            127 => (10, u64::from_be_bytes(rest.get(..8)?.try_into().ok()?)),
            short => (2, u64::from(short)),
        };
        // A final text frame, not compressed, not masked.
        Some(Self { len, payload, text: *first == 0x81 && second & 0x80 == 0 })
    }

    fn is_held(&self) -> bool {
        self.text && self.payload <= MAX_HELD
    }
}

impl Frames {
    /// How many of the next bytes pass as they are.
    pub(super) fn passing(&self) -> u64 {
        self.passing
    }

    /// That many of them have passed.
    pub(super) fn passed(&mut self, bytes: usize) {
        self.passing = self.passing.saturating_sub(bytes as u64);
    }

    /// Takes bytes up to the payload of a frame that passes as it is; complete frames go to `out`. Says how many it took.
    pub(super) fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let mut taken = 0;
        while self.passing == 0 && taken < bytes.len() {
            let rest = bytes.split_at(taken).1;
            let missing = self.missing().min(rest.len());
            self.held.extend_from_slice(rest.split_at(missing).0);
            taken += missing;
            self.finish(out);
        }
        taken
    }

    /// How many bytes to read next: one at a time until the header is known, which has ten at most.
    fn missing(&self) -> usize {
        match Header::read(&self.held) {
            Some(header) => {
                usize::try_from(header.payload).unwrap_or(usize::MAX).saturating_sub(self.held.len() - header.len)
            }
            None => 1,
        }
    }

    /// Hands on what is complete.
    fn finish(&mut self, out: &mut Vec<u8>) {
        let Some(header) = Header::read(&self.held) else { return };
        if !header.is_held() {
            out.append(&mut self.held);
            self.passing = header.payload;
        } else if self.held.len() as u64 == header.len as u64 + header.payload {
            match connect_error::rewrite(self.held.split_at(header.len).1) {
                Some(payload) => write_text(&payload, out),
                None => out.extend_from_slice(&self.held),
            }
            self.held.clear();
        }
    }
}

/// Writes a final text frame.
fn write_text(payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x81);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(len @ ..=125), _) => out.push(len),
        (_, Ok(len)) => {
            out.push(126);
            out.extend_from_slice(&len.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(payload: &str) -> Vec<u8> {
        let mut frame = Vec::new();
        write_text(payload.as_bytes(), &mut frame);
        frame
    }

    /// What comes out when the bytes are written in pieces of `step`.
    fn through(bytes: &[u8], step: usize) -> Vec<u8> {
        let (mut frames, mut out) = (Frames::default(), Vec::new());
        for mut piece in bytes.chunks(step) {
            while !piece.is_empty() {
                let passing = usize::try_from(frames.passing()).unwrap().min(piece.len());
                if passing > 0 {
                    out.extend_from_slice(&piece[..passing]);
                    frames.passed(passing);
                    piece = &piece[passing..];
                } else {
                    let taken = frames.take(piece, &mut out);
                    assert!(taken > 0);
                    piece = &piece[taken..];
                }
            }
        }
        out
    }

    #[test]
    fn refusals_are_rewritten_and_all_else_passes_however_it_is_cut() {
        let inner = json!({"message": "TOKEN_EXPIRED", "data": {"error": {"message": "x".repeat(200)}}}).to_string();
        let refusal = text(&format!("44{}", json!({ "message": inner })));
        let rewritten = text(&format!(
            "44{}",
            r#"{"message":"TOKEN_EXPIRED","data":"#.to_owned()
                + &json!({"error": {"message": "x".repeat(200)}}).to_string()
                + "}"
        ));
        let mut binary = text(&"b".repeat(300));
        binary[0] = 0x82;
        let others =
            [text("0{}"), text(""), text(&"m".repeat(126)), text(&"l".repeat(70_000)), binary, vec![0x88, 0]].concat();
        let sent = [others.clone(), refusal.clone(), others.clone(), refusal].concat();
        let expected = [others.clone(), rewritten.clone(), others, rewritten].concat();
        for step in [1, 2, 3, 7, 126, 4_096, sent.len()] {
            assert!(through(&sent, step) == expected, "in pieces of {step}");
        }
    }
}

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An Engine.IO message with a Socket.IO CONNECT_ERROR of the main namespace.
const PREFIX: &[u8] = b"44{";

/// What the server writes.
#[derive(Deserialize)]
struct Sent {
    message: String,
}

/// What `socket.io-client` reads: `err.message` and `err.data`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConnectError {
    pub(crate) message: String,
    pub(crate) data: Value,
}

/// Puts a refusal's data where clients look for it: the server can send a message only, so the message carries both.
///
/// `None` for every other packet.
pub(super) fn rewrite(packet: &[u8]) -> Option<Vec<u8>> {
    if !packet.starts_with(PREFIX) {
        return None;
    }
    let sent: Sent = serde_json::from_slice(packet.split_at(2).1).ok()?;
    let error: ConnectError = serde_json::from_str(&sent.message).ok()?;
    let mut rewritten = b"44".to_vec();
    serde_json::to_writer(&mut rewritten, &error).ok()?;
    Some(rewritten)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_refusal_of_ours_is_rewritten() {
        let error = ConnectError { message: "TOKEN_EXPIRED".into(), data: json!({"error": {"code": "TOKEN_EXPIRED"}}) };
        let sent = format!("44{}", json!({"message": serde_json::to_string(&error).unwrap()}));
        let rewritten = rewrite(sent.as_bytes()).unwrap();
        assert_eq!(
            String::from_utf8(rewritten).unwrap(),
            r#"44{"message":"TOKEN_EXPIRED","data":{"error":{"code":"TOKEN_EXPIRED"}}}"#
        );
        for other in
            [r#"44{"message":"Invalid namespace"}"#, r#"44/admin,{"message":"x"}"#, r#"42["44{"]"#, "44{", "", "2"]
        {
            assert_eq!(rewrite(other.as_bytes()), None, "{other}");
        }
    }
}

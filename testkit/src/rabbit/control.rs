//! What an operator does to a node: vhosts, alarms, connections, clusters.

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::RabbitNode;
use crate::TestkitError;

const COMMAND_LIMIT: Duration = Duration::from_secs(60);
/// RabbitMQ's own default, a share of the machine's memory.
const WATERMARK: &str = "0.4";

impl RabbitNode {
    /// Makes a vhost that only the caller knows and returns its URI.
    pub async fn new_vhost(&self) -> Result<String, TestkitError> {
        let name = format!("test-{}", self.vhosts.fetch_add(1, Ordering::Relaxed));
        let vhost = binary(&name);
        self.eval(&format!(
            "ok = rabbit_vhost:add({vhost}, <<\"testkit\">>), \
             ok = rabbit_auth_backend_internal:set_permissions(\
             <<\"guest\">>, {vhost}, <<\".*\">>, <<\".*\">>, <<\".*\">>, <<\"testkit\">>)"
        ))
        .await?;
        Ok(self.uri_of(&name))
    }

    /// Runs `rabbitmqctl` against this node and returns what it printed.
    pub async fn ctl(&self, args: &[&str]) -> Result<String, TestkitError> {
        let args = ["-n", self.name()].into_iter().chain(args.iter().copied());
        self.server.run(&self.rabbitmqctl, args, COMMAND_LIMIT).await
    }

    /// Evaluates Erlang expressions in the node and returns the value of the last one as Erlang prints it.
    ///
    /// It takes milliseconds, where `rabbitmqctl` takes a good part of a second.
    pub async fn eval(&self, expressions: &str) -> Result<String, TestkitError> {
        // Two calls under one name at once would shut each other out.
        static CALLS: AtomicU64 = AtomicU64::new(0);
        let name = format!("testkit{}-{}", std::process::id(), CALLS.fetch_add(1, Ordering::Relaxed));
        let address = format!("127.0.0.1:{}", self.identity.dist_port);
        // As a list of bytes, since erl_call has rules of its own for quotes.
        let text = format!("{}.\n", expressions.trim_end_matches('.'));
        let call = format!("erl_eval eval_str [{}]", charlist(&text));
        let args = ["-h", &name, "-address", &address, "-c", &self.identity.erlang.cookie, "-a", &call];
        let failed = |status: &str, output: &str| TestkitError::Command {
            command: format!("eval {expressions}"),
            status: status.to_owned(),
            output: output.to_owned(),
        };
        let output = match self.server.run(&self.erl_call, args, COMMAND_LIMIT).await {
            Ok(output) => output,
            Err(TestkitError::Command { status, output, .. }) => return Err(failed(&status, &output)),
            Err(error) => return Err(error),
        };
        let value = output.trim().strip_prefix("{ok, ").and_then(|rest| rest.strip_suffix('}'));
        value.map(str::to_owned).ok_or_else(|| failed("error", &output))
    }

    /// How many messages are in a queue, unacknowledged ones included; `None` when there is no such queue.
    ///
    /// `vhost` is a name, or a URI from [`new_vhost`](Self::new_vhost).
    pub async fn queue_depth(&self, vhost: &str, queue: &str) -> Result<Option<u64>, TestkitError> {
        let queue_name = queue;
        let (vhost, queue) = (binary(vhost_name(vhost)), binary(queue));
        let value = self
            .eval(&format!(
                "case rabbit_amqqueue:lookup(rabbit_misc:r({vhost}, queue, {queue})) of \
                 {{ok, Q}} -> \
                     Leader = case amqqueue:get_pid(Q) of {{_, Node}} -> Node; Pid -> node(Pid) end, \
                     [{{messages, Messages}}] = rpc:call(Leader, rabbit_amqqueue, info, [Q, [messages]]), Messages; \
                 {{error, not_found}} -> none end"
            ))
            .await?;
        if value == "none" {
            return Ok(None);
        }
        value.parse().map(Some).map_err(|_| TestkitError::Command {
            command: format!("count the messages of {queue_name}"),
            status: "no number".to_owned(),
            output: value,
        })
    }

    /// Raises or clears the memory alarm, which makes the node block every connection that publishes.
    pub async fn set_memory_alarm(&self, raised: bool) -> Result<(), TestkitError> {
        let watermark = if raised { "0.0" } else { WATERMARK };
        let alarms = self
            .eval(&format!(
                "vm_memory_monitor:set_vm_memory_high_watermark({watermark}), \
                 length([a || {{{{resource_limit, memory, _}}, _}} <- rabbit_alarm:get_alarms()])"
            ))
            .await?;
        if (alarms != "0") == raised {
            return Ok(());
        }
        let wanted = if raised { "raised" } else { "cleared" };
        Err(TestkitError::Command {
            command: format!("set the memory watermark to {watermark}"),
            status: format!("the alarm was not {wanted}"),
            output: self.log_tail(),
        })
    }

    /// Closes every client connection of the node with `connection.close` (320) and says how many there were.
    pub async fn close_connections(&self) -> Result<u64, TestkitError> {
        self.close("true").await
    }

    /// Closes the client connections of one vhost, given by name or URI.
    pub async fn close_connections_of(&self, vhost: &str) -> Result<u64, TestkitError> {
        self.close(&format!(
            "(catch rabbit_networking:connection_info(C, [vhost])) =:= [{{vhost, {}}}]",
            binary(vhost_name(vhost))
        ))
        .await
    }

    /// How many client connections the node has.
    pub async fn connection_count(&self) -> Result<u64, TestkitError> {
        number(&self.eval("length(rabbit_networking:connections())").await?)
    }

    async fn close(&self, filter: &str) -> Result<u64, TestkitError> {
        // Others may go by themselves meanwhile.
        let closed = self
            .eval(&format!(
                "Cs = [C || C <- rabbit_networking:connections(), {filter}], \
                 [catch rabbit_networking:close_connection(C, \"closed by the test\") || C <- Cs], length(Cs)"
            ))
            .await?;
        number(&closed)
    }

    /// Makes this node, which loses its data, a member of the other node's cluster.
    pub async fn join(&self, other: &Self) -> Result<(), TestkitError> {
        for order in [&["stop_app"][..], &["reset"], &["join_cluster", other.name()], &["start_app"]] {
            self.ctl(order).await?;
        }
        Ok(())
    }
}

fn number(value: &str) -> Result<u64, TestkitError> {
    value.parse().map_err(|_| TestkitError::Command {
        command: "eval".to_owned(),
        status: "not a number".to_owned(),
        output: value.to_owned(),
    })
}

/// The vhost's name, out of a URI or as it is.
pub(super) fn vhost_name(vhost: &str) -> &str {
    match vhost.split_once("://") {
        Some((_, rest)) => match rest.split_once('/').map(|(_, path)| path.split('?').next().unwrap_or(path)) {
            None | Some("" | "%2f" | "%2F") => "/",
            Some(name) => name,
        },
        None => vhost,
    }
}

/// An Erlang binary of these bytes, whatever they are.
pub(super) fn binary(text: &str) -> String {
    format!("<<{}>>", bytes(text))
}

/// An Erlang string of these bytes.
fn charlist(text: &str) -> String {
    format!("[{}]", bytes(text))
}

fn bytes(text: &str) -> String {
    text.bytes().enumerate().fold(String::new(), |mut list, (index, byte)| {
        let comma = if index == 0 { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(list, "{comma}{byte}");
        list
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vhost_is_given_by_name_or_uri() {
        assert_eq!(vhost_name("test-1"), "test-1");
        assert_eq!(vhost_name("/"), "/");
        assert_eq!(vhost_name("amqp://guest:guest@127.0.0.1:5672/test-1"), "test-1");
        assert_eq!(vhost_name("amqp://guest:guest@127.0.0.1:5672/test-1?heartbeat=10"), "test-1");
        assert_eq!(vhost_name("amqp://guest:guest@127.0.0.1:5672/%2f"), "/");
    }

    #[test]
    fn text_becomes_erlang_bytes_so_that_nothing_needs_quoting() {
        assert_eq!(binary("a\"b"), "<<97,34,98>>");
        assert_eq!(binary(""), "<<>>");
    }
}

//! `sap-events`, as a process against a real broker.

use std::{collections::BTreeSet, process::Stdio};

use sap_comm_events::{Broker, EventRouter, Management, Subscription, TopologySpec};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::Command,
};

use crate::{
    events::UserCreated,
    rabbitmq::{config, dead_letters::buried, numbers, soon, vhost},
};

const QUEUE: &str = "user.events.user-service";

/// The program on its way to `uri`.
fn program(uri: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sap-events"));
    command.args(args).env_clear().env("SAP_BROKER", uri).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Its exit code and what it printed.
async fn run(uri: &str, args: &[&str]) -> (i32, String, String) {
    let output = soon(program(uri, args).output()).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_listed_shown_redriven_and_purged() {
    let uri = vhost().await;
    let letters = buried(&uri, 200).await;
    assert_eq!(run(&uri, &["dead-letters", "list", QUEUE]).await.1, format!("{QUEUE}       200\n"));
    let (code, shown, _) = run(&uri, &["dead-letters", "peek", QUEUE, "--code", "RARE", "--json"]).await;
    let shown: Vec<serde_json::Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let numbers: Vec<_> = shown.iter().map(|letter| letter["event"]["data"]["number"].as_u64().unwrap()).collect();
    assert_eq!((code, numbers), (0, vec![0, 100]));
    let redrive = ["dead-letters", "redrive", QUEUE, "--code", "RARE", "--rate", "1000", "--json"];
    let dry: Vec<_> = redrive.into_iter().chain(["--dry-run"]).collect();
    assert_eq!(run(&uri, &dry).await.1, "{\"total\":200,\"seen\":200,\"matched\":2,\"done\":0}\n");
    assert_eq!(run(&uri, &redrive).await.1, "{\"total\":200,\"seen\":200,\"matched\":2,\"done\":2}\n");
    let (code, _, error) = run(&uri, &["dead-letters", "purge", QUEUE]).await;
    assert!(code == 2 && error.contains("--yes"), "{code} {error}");
    let (code, printed, _) = run(&uri, &["dead-letters", "purge", QUEUE, "--limit", "100", "--yes"]).await;
    assert_eq!((code, printed.as_str()), (0, "100 removed; 100 match, 100 of 198 seen\n"));
    assert_eq!(letters.count().await.unwrap(), 98);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redrive_that_is_killed_loses_nothing() {
    let uri = vhost().await;
    let letters = buried(&uri, 400).await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let (router, mut numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    let mut missing: BTreeSet<u32> = (0..400).collect();
    for _ in 0..3 {
        let mut child = program(&uri, &["dead-letters", "redrive", QUEUE, "--rate", "50", "--quiet"]).spawn().unwrap();
        // Killed with some sent back and more on their way.
        for _ in 0..20 {
            missing.remove(&soon(numbers.recv()).await.unwrap());
        }
        child.start_kill().unwrap();
        assert!(!child.wait().await.unwrap().success(), "it was killed in the midst");
        while let Ok(number) = numbers.try_recv() {
            missing.remove(&number);
        }
    }
    // What the last one held is back once the broker has noticed.
    while !missing.is_empty() {
        soon(letters.redrive(usize::MAX)).await.unwrap();
        while let Ok(Some(number)) = tokio::time::timeout(std::time::Duration::from_millis(200), numbers.recv()).await {
            missing.remove(&number);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_that_takes_its_time_shows_how_far_it_is() {
    let uri = vhost().await;
    let letters = buried(&uri, 400).await;
    let redrive = ["dead-letters", "redrive", QUEUE, "--rate", "100"];
    let mut child = program(&uri, &redrive).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut shown = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = soon(shown.next_line()).await.unwrap().unwrap();
    let numbers: Vec<u32> = line.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
    let [seen, total, matched, done] = numbers[..] else { panic!("{line}") };
    assert_eq!(line, format!("{seen} of {total} seen, {matched} match, {done} done"));
    assert!(total == 400 && 0 < done && done <= matched && matched <= seen && seen <= total, "{line}");
    assert!(soon(child.wait()).await.unwrap().success());
    assert_eq!(letters.count().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_round_shows_nothing() {
    let uri = vhost().await;
    let letters = buried(&uri, 400).await;
    let (code, printed, shown) = run(&uri, &["dead-letters", "redrive", QUEUE, "--rate", "100", "--quiet"]).await;
    assert_eq!((code, shown.as_str()), (0, ""), "{printed}");
    assert_eq!(letters.count().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_prints_what_is_published() {
    let uri = vhost().await;
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let (router, _numbers) = numbers();
    let _handle = broker.subscribe("user.events", router).await.unwrap();
    let args = ["tail", "user.events", "--type", "user.*", "--limit", "1", "--json"];
    let mut child = program(&uri, &args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
    let ready = soon(errors.next_line()).await.unwrap().unwrap();
    assert_eq!(ready, "listening on user.events for user.*");
    broker.publish("user.events", UserCreated::numbered(7)).await.unwrap();
    let mut printed = String::new();
    soon(child.stdout.take().unwrap().read_to_string(&mut printed)).await.unwrap();
    let event: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((event["type"].as_str(), event["event"]["data"]["number"].as_u64()), (Some("user.created"), Some(7)));
    assert!(soon(child.wait()).await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn differences_of_a_topology_are_named() {
    let uri = vhost().await;
    let router = EventRouter::new().otherwise(|_| async { Ok(()) });
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("topology.json");
    let write = |spec: &TopologySpec| std::fs::write(&file, serde_json::to_vec(spec).unwrap()).unwrap();
    let path = file.to_str().unwrap();
    let spec = Subscription::new("user.events").topology(&config(), &router).unwrap();
    write(&spec);
    let (code, printed, _) = run(&uri, &["topology", "diff", "--topology", path]).await;
    assert!(code == 3 && printed.contains("exchange \"user.events\" is missing\n"), "{code} {printed}");
    let broker = Broker::connect(&uri, config()).await.unwrap();
    let _handle = broker.subscribe("user.events", router.clone()).await.unwrap();
    let (code, printed, _) = run(&uri, &["topology", "diff", "--topology", path]).await;
    assert_eq!((code, printed.as_str()), (0, "no difference in 1 exchanges and 4 queues\n"));
    write(&Subscription::new("user.events").quorum().topology(&config(), &router).unwrap());
    let (code, printed, _) = run(&uri, &["topology", "diff", "--topology", path]).await;
    assert!(code == 3, "{printed}");
    assert!(
        printed.contains("queue \"user.events.user-service\" differs in x-queue-type: expected quorum, found "),
        "{printed}"
    );
    let (code, listed, _) = run(&uri, &["dead-letters", "list", "--topology", path]).await;
    assert_eq!((code, listed.as_str()), (0, "user.events.user-service         0\n"));
    std::fs::write(&file, "{\"queue\": []}").unwrap();
    let (code, _, error) = run(&uri, &["topology", "diff", "--topology", path]).await;
    assert!(code == 2 && error.contains("topology.json") && error.contains("`queue`"), "{code} {error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_are_clear_and_have_codes() {
    let uri = vhost().await;
    let elsewhere = format!("{uri}-not");
    let stranger = uri.replace("guest:guest", "guest:wr0ng");
    for (uri, args, code, text) in [
        (&*uri, &["dead-letters", "list", "nobody"][..], 5, "there is no queue \"nobody.dead\""),
        (&uri, &["dead-letters", "redrive", "nobody"], 5, "there is no queue \"nobody.dead\""),
        (&uri, &["tail", "nothing.events"], 5, "there is no exchange \"nothing.events\""),
        (&uri, &["dead-letters", "list"], 2, "--management"),
        (&uri, &["dead-letters", "redrive", "nobody", "--rate", "0"], 2, "rate"),
        (&elsewhere, &["tail", "user.events"], 4, "no access to the virtual host"),
        (&stranger, &["tail", "user.events"], 4, "refused the credentials of user \"guest\""),
        ("amqp://127.0.0.1:1", &["tail", "user.events", "--timeout", "100ms"], 4, "127.0.0.1:1"),
        ("nowhere", &["tail", "user.events"], 2, "scheme"),
    ] {
        let (found, printed, error) = run(uri, args).await;
        assert!(found == code && error.contains(text), "{args:?}: {found} {printed} {error}");
        assert!(!error.contains("wr0ng"), "{error}");
        assert!(code == 2 || error.lines().count() == 1, "one line says it: {error}");
    }
}

#[tokio::test]
async fn the_management_api_tells_arguments_and_bindings() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://ops:secret@{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            let request = String::from_utf8(request).unwrap().to_lowercase();
            assert!(request.contains("authorization: basic b3bzonnly3jlda=="), "{request}");
            let body = match request
                .split(['/', '?', ' '])
                .find(|word| ["exchanges", "queues", "bindings"].contains(word))
            {
                Some("exchanges") => {
                    r#"[{"name":"","type":"direct","durable":true},{"name":"a","type":"topic","durable":true}]"#
                }
                Some("queues") => {
                    r#"[{"name":"q","durable":true,"exclusive":false,"auto_delete":false,"arguments":{"x-message-ttl":5}}]"#
                }
                _ => {
                    r#"[{"source":"","destination":"q","destination_type":"queue","routing_key":"q"},
                         {"source":"a","destination":"q","destination_type":"queue","routing_key":"user.*"}]"#
                }
            };
            assert!(request.contains("/%2f?columns="), "{request}");
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            stream.write_all((head + body).as_bytes()).await.unwrap();
        }
    });
    let found = Management::new(&url).unwrap().topology("/").await.unwrap();
    let expected: TopologySpec = serde_json::from_str(
        r#"{"exchanges":[{"name":"","type":"direct"},{"name":"a","type":"topic"}],
            "queues":[{"name":"q","arguments":{"x-message-ttl":5}}],
            "bindings":[{"exchange":"a","queue":"q","key":"user.*"}]}"#,
    )
    .unwrap();
    assert_eq!(found, expected);
    server.abort();
}

use sap_comm_core::{Context, Secret};
use sap_comm_rest::gateway::{Route, Scheme};

use super::support::{bearer, echo, get, send, serve, to, to_service, upstream, verifier};

#[tokio::test]
async fn nobody_poses_as_somebody_else() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let forged = [
        ("X-User-Id", "usr_root"),
        ("X_User_Id", "usr_root"),
        ("X-Principal", "eyJpZCI6InJvb3QifQ"),
        ("X_Principal", "eyJpZCI6InJvb3QifQ"),
        ("X-Attempt", "9"),
        ("X-Timeout-Ms", "1"),
        ("X-Forwarded-User", "root"),
        ("Remote-User", "root"),
        ("Forwarded", "for=6.6.6.6"),
        ("X-Real-IP", "6.6.6.6"),
        ("X-Original-URL", "/admin"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("Proxy", "http://6.6.6.6"),
    ];
    let answer = send(&gateway, "GET", "/api", &forged, "").await;
    for (name, _) in forged {
        // That somebody was named stays.
        let left = (name == "X-Principal").then_some("?");
        assert_eq!(answer.sent(&name.to_ascii_lowercase()).as_deref(), left, "{name}");
    }
}

#[tokio::test]
async fn services_hear_from_the_gateway_where_a_request_came_from() {
    let upstream = upstream(echo()).await;
    let spoofed =
        [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil.example")];

    let gateway = serve(to(&upstream).build().unwrap()).await;
    let answer = send(&gateway, "GET", "/api", &spoofed, "").await;
    assert_eq!(answer.sent("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(answer.sent("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(answer.sent("x-forwarded-host").as_deref(), Some("gateway.example"));

    let gateway = serve(to(&upstream).trusted_proxies(["127.0.0.0/8"]).build().unwrap()).await;
    let answer = send(&gateway, "GET", "/api", &spoofed, "").await;
    assert_eq!(answer.sent("x-forwarded-for").as_deref(), Some("6.6.6.6, 127.0.0.1"));
    assert_eq!(answer.sent("x-forwarded-proto").as_deref(), Some("https"));
    assert_eq!(answer.sent("x-forwarded-host").as_deref(), Some("evil.example"));

    let gateway = serve(to(&upstream).scheme(Scheme::Https).build().unwrap()).await;
    assert_eq!(get(&gateway, "/api").await.sent("x-forwarded-proto").as_deref(), Some("https"));
}

#[tokio::test]
async fn the_context_goes_on_and_comes_back() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace_id}-00f067aa0ba902b7-01");
    let headers = [
        ("X-Request-Id", "req_from_outside"),
        ("X-Correlation-Id", "cause_1"),
        ("traceparent", parent.as_str()),
        ("tracestate", "vendor=1"),
    ];
    let answer = send(&gateway, "GET", "/api", &headers, "").await;
    assert_eq!(answer.header("x-request-id"), Some("req_from_outside"));
    assert_eq!(answer.sent("x-request-id").as_deref(), Some("req_from_outside"));
    assert_eq!(answer.sent("x-correlation-id").as_deref(), Some("cause_1"));
    assert_eq!(answer.sent("tracestate").as_deref(), Some("vendor=1"));
    let sent = answer.sent("traceparent").unwrap();
    assert!(sent.starts_with(&format!("00-{trace_id}-")) && sent != parent, "{sent}");
}

/// The trace id of a `traceparent` that is valid (W3C Trace Context, 3.2.2).
fn trace_id(traceparent: &str) -> &str {
    assert_eq!(traceparent.len(), 55, "{traceparent}");
    let parts: Vec<_> = traceparent.split('-').collect();
    assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [2, 32, 16, 2], "{traceparent}");
    let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    assert!(parts.iter().all(|part| is_hex(part)) && parts[0] == "00", "{traceparent}");
    assert!(parts[1..3].iter().all(|id| id.bytes().any(|digit| digit != b'0')), "{traceparent}");
    parts[1]
}

#[tokio::test]
async fn hostile_ids_are_replaced() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let long = "x".repeat(129);
    for (id, parent) in [
        ("a b", "00-0-0-0"),
        (long.as_str(), "rubbish"),
        ("", ""),
        ("a b", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"),
        ("a b", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"),
        ("a b", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("a b", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"),
        ("a b", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra"),
    ] {
        let answer = send(&gateway, "GET", "/api", &[("X-Request-Id", id), ("traceparent", parent)], "").await;
        assert!(answer.header("x-request-id").unwrap().starts_with("req_"), "{id}");
        assert_eq!(answer.header("x-request-id"), answer.sent("x-request-id").as_deref());
        let sent = answer.sent("traceparent").unwrap();
        assert_ne!(sent, parent);
        assert!(!parent.contains(trace_id(&sent)), "{sent} goes on with {parent}");
    }
}

#[tokio::test]
async fn of_two_parents_a_service_gets_neither() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let parents = [
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ];
    let answer = send(&gateway, "GET", "/api", &parents.map(|parent| ("traceparent", parent)), "").await;
    let sent = answer.sent("traceparent").unwrap();
    assert!(parents.iter().all(|parent| !parent.contains(trace_id(&sent))), "{sent}");
}

#[tokio::test]
async fn several_lines_of_a_trace_state_are_one_list() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let headers = [
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("tracestate", "a=1,b=2"),
        ("tracestate", "c=3"),
    ];
    let answer = send(&gateway, "GET", "/api", &headers, "").await;
    assert_eq!(answer.sent("tracestate").as_deref(), Some("a=1,b=2,c=3"));
}

#[tokio::test]
async fn a_trace_state_goes_on_within_its_bounds() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    let long = |length: usize| format!("a={},b={}", "x".repeat(250), "y".repeat(length - 255));
    let many = |members: usize| (0..members).map(|member| format!("v{member}=1")).collect::<Vec<_>>().join(",");
    for (state, goes_on) in [(long(512), true), (long(513), false), (many(32), true), (many(33), false)] {
        let headers = [("traceparent", parent.as_str()), ("tracestate", state.as_str())];
        let answer = send(&gateway, "GET", "/api", &headers, "").await;
        let (length, members) = (state.len(), state.split(',').count());
        assert_eq!(answer.sent("tracestate"), goes_on.then_some(state), "{members} members, {length} bytes");
        assert_eq!(trace_id(&answer.sent("traceparent").unwrap()), trace, "the trace goes on in any case");
    }
}

#[tokio::test]
async fn the_principal_goes_along_with_the_gateways_key_only() {
    let upstream = upstream(echo()).await;
    let gateway = to_service(&upstream)
        .authenticator(verifier())
        .api_key(Secret::new("sap_gateway_key".to_owned()))
        .route(Route::new("/api").to("test").authenticated())
        .build();
    let gateway = serve(gateway.unwrap()).await;
    let token = bearer(&["admin"]);
    let headers =
        [("Authorization", token.as_str()), ("X-Api-Key", "forged"), ("Connection", "x-principal, x-api-key")];
    let answer = send(&gateway, "GET", "/api", &headers, "").await;
    assert_eq!(answer.sent("x-api-key").as_deref(), Some("sap_gateway_key"));
    let sent = answer.json();
    let header = |name: &str| {
        let pair = sent["headers"].as_array().unwrap().iter().find(|pair| pair[0] == name)?;
        pair[1].as_str()
    };
    let context = Context::extract_trusted(header);
    let principal = context.principal().unwrap();
    assert!(principal.id == "usr_1" && principal.has_role("admin"));
    assert!(context.remaining().is_some());
}

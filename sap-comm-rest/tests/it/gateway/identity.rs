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

#[tokio::test]
async fn hostile_ids_are_replaced() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    let long = "x".repeat(129);
    for (id, parent) in [("a b", "00-0-0-0"), (long.as_str(), "rubbish"), ("", "")] {
        let answer = send(&gateway, "GET", "/api", &[("X-Request-Id", id), ("traceparent", parent)], "").await;
        assert!(answer.header("x-request-id").unwrap().starts_with("req_"), "{id}");
        assert_eq!(answer.header("x-request-id"), answer.sent("x-request-id").as_deref());
        assert!(answer.sent("traceparent").unwrap().starts_with("00-"));
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

use std::{net::SocketAddr, sync::Arc};

use http::Request;
use sap_comm_core::{
    StaticResolver,
    config::{Format, from_text},
};
use sap_comm_rest::{
    gateway::{Gateway, GatewayBuilder, GatewayConfig, Quota, RateLimitConfig, Route, Scheme},
    server::{Server, ServerConfig},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::support::{echo, get, resolver, serve, upstream, verifier};

fn begun() -> GatewayBuilder {
    Gateway::builder().resolver(Arc::new(StaticResolver::new()))
}

#[tokio::test]
async fn what_cannot_be_served_is_refused_and_named() {
    let public = || Route::new("/a").to("test").public();
    let config = |change: &dyn Fn(&mut GatewayConfig)| {
        let mut config = GatewayConfig::default();
        change(&mut config);
        begun().config(config).route(public())
    };
    for (field, builder) in [
        ("routes", begun()),
        ("routes[/a].access", begun().route(Route::new("/a").to("test"))),
        ("routes[/a].roles", begun().route(Route::new("/a").to("test").public().roles(["admin"]))),
        ("routes[/a].path", begun().route(public()).route(public())),
        ("routes[/a].rate_limit.requests", begun().route(public().rate_limit(Quota::per_second(0)))),
        ("authenticator", begun().route(Route::new("/a").to("test").authenticated())),
        ("fallback", begun().route(Route::new("/a").local().public())),
        ("resolver", Gateway::builder().route(public())),
        ("rate_limit.quota.requests", begun().route(public()).rate_limit(Quota::per_second(0))),
        (
            "rate_limit.max_callers",
            begun().route(public()).rate_limit(RateLimitConfig { max_callers: 0, ..RateLimitConfig::default() }),
        ),
        ("trusted_proxies", begun().route(public()).trusted_proxies(["0.0.0.0/0"])),
        ("trusted_proxies", begun().route(public()).trusted_proxies(["anywhere"])),
        ("api_key", begun().route(public()).api_key("a\nb".to_owned().into())),
        ("max_body", config(&|config| config.max_body = 0)),
        ("max_body", config(&|config| config.max_body = u64::MAX)),
        ("log.sample", config(&|config| config.log.sample = 1.5)),
        ("upstream.max_in_flight", config(&|config| config.upstream.max_in_flight = usize::MAX)),
        ("upstream.retry.max_retries", config(&|config| config.upstream.retry.max_retries = 100)),
        ("upstream.retry.max_replay", config(&|config| config.upstream.retry.max_replay = 1 << 40)),
        ("upstream.retry.budget_share", config(&|config| config.upstream.retry.budget_share = 2.0)),
        ("max_tunnels", config(&|config| config.max_tunnels = Some(usize::MAX))),
        ("max_tunnels", config(&|config| config.max_tunnels = Some(0))),
        ("upstream.timeout", config(&|config| config.upstream.timeout = std::time::Duration::ZERO)),
        ("breaker.failure_rate", config(&|config| config.breaker.failure_rate = Some(2.0))),
    ] {
        let error = builder.build().err().unwrap_or_else(|| panic!("{field} should be refused"));
        assert_eq!(error.field(), field);
        assert!(error.to_string().contains(field), "{error}");
    }
}

#[tokio::test]
async fn a_gateway_is_configured_from_text() {
    let config: GatewayConfig = serde_json::from_value(json!({
        "routes": [
            {"path": "/api/v1/users", "target": {"service": "test"}, "access": "public", "timeout": "5s", "rewrite": "/users"},
            {"path": "/api/v1/users/{id}", "exact": true, "methods": ["DELETE"], "target": {"service": "test"}, "access": "authenticated", "roles": ["admin"],
             "rate_limit": {"requests": 10, "per": "1m"}},
        ],
        "rate_limit": {"quota": {"requests": 50, "per": "1s"}},
        "upstream": {"connect_timeout": "500ms"},
        "trusted_proxies": ["10.0.0.0/8"],
        "scheme": "https",
    }))
    .unwrap();
    let upstream = upstream(echo()).await;
    let gateway =
        Gateway::builder().config(config).resolver(resolver(&[("test", &[&upstream])])).authenticator(verifier());
    let gateway = serve(gateway.build().unwrap()).await;
    assert_eq!(get(&gateway, "/api/v1/users").await.json()["target"], "/users");
    assert_eq!(get(&gateway, "/api/v1/users/7").await.status, 405);
    assert_eq!(get(&gateway, "/api/v1/users/7/parts").await.json()["target"], "/users/7/parts");
}

#[test]
fn limits_are_turned_off_by_a_word_that_toml_has_too() {
    let read = |text: &str| from_text::<GatewayConfig>(text, Format::Toml);
    let config = read("failed_credentials = \"off\"").unwrap();
    assert_eq!((config.failed_credentials, config.rate_limit), (None, Some(RateLimitConfig::default())));
    let config = read("rate_limit = \"off\"\n[failed_credentials]\nrequests = 5\nper = \"1m\"").unwrap();
    assert_eq!((config.failed_credentials, config.rate_limit), (Some(Quota::per_minute(5)), None));
    assert_eq!(
        serde_json::from_value::<GatewayConfig>(json!({"failed_credentials": null})).unwrap().failed_credentials,
        None
    );
    for config in [config, GatewayConfig::default()] {
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(from_text::<GatewayConfig>(&text, Format::Json).unwrap(), config);
    }
    for (text, part) in [
        ("failed_credentials = \"none\"", "off"),
        ("[failed_credentials]\nrequests = 5\nper = \"1m\"\nbursts = 1", "bursts"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains("failed_credentials") && error.contains(part), "{error}");
    }
}

#[test]
fn an_unknown_key_is_an_error() {
    for text in [
        r#"{"rotes": []}"#,
        r#"{"routes": [{"path": "/a", "acces": "public"}]}"#,
        r#"{"rate_limit": {"quota": {"requests": 1, "per": "1s", "bursts": 2}}}"#,
        r#"{"upstream": {"timeot": "1s"}}"#,
    ] {
        let error = serde_json::from_str::<GatewayConfig>(text).unwrap_err().to_string();
        assert!(error.contains("unknown field"), "{error}");
    }
}

#[tokio::test]
async fn credentials_in_clear_text_from_other_machines_are_refused() {
    let gateway = |change: &dyn Fn(GatewayBuilder) -> GatewayBuilder| {
        let route = Route::new("/a").to("test").authenticated();
        change(begun().authenticator(verifier()).route(route)).build().unwrap()
    };
    let ended = CancellationToken::new();
    ended.cancel();
    let serve_at = async |address: &str, gateway: Gateway| {
        let server = Server::bind(address, ServerConfig::default()).await.unwrap();
        gateway.serve(server, ended.clone()).await
    };
    let error = serve_at("0.0.0.0:0", gateway(&|builder| builder)).await.unwrap_err().to_string();
    assert!(error.contains("`scheme` = http") && error.contains("credentials that /a demands"), "{error}");
    assert!(error.contains("scheme = \"https\"") && !error.contains("methods"), "{error}");
    for (address, change) in [
        ("127.0.0.1:0", (&|builder: GatewayBuilder| builder) as &dyn Fn(GatewayBuilder) -> GatewayBuilder),
        ("0.0.0.0:0", &|builder| builder.scheme(Scheme::Https)),
        ("0.0.0.0:0", &|builder| builder.insecure_plain_http()),
    ] {
        serve_at(address, gateway(change)).await.unwrap();
    }
    let public = || Route::new("/a").to("test").public();
    let reads = || begun().route(public().methods(["GET"]));
    serve_at("0.0.0.0:0", reads().build().unwrap()).await.unwrap();
    for (builder, names) in [
        (begun().route(public()), "to /a, perhaps a login"),
        (begun().route(public().methods(["GET", "POST"])), "`.methods([\"GET\"])`"),
        (reads().fallback(axum::Router::new()), "own router"),
        (reads().fallback(axum::Router::new()).route(Route::new("/b").local().public().methods(["GET"])), "/b"),
    ] {
        let error = serve_at("0.0.0.0:0", builder.build().unwrap()).await.unwrap_err().to_string();
        assert!(error.contains("`scheme` = http") && error.contains(names), "{error}");
    }
}

#[tokio::test]
async fn credentials_in_clear_text_are_refused_however_the_gateway_is_served() {
    let service = upstream(echo()).await;
    let to = || {
        let routes =
            [Route::new("/login").to("test").public(), Route::new("/open").to("test").public().methods(["GET"])];
        let fallback = axum::Router::new().fallback(async || "own");
        Gateway::builder()
            .resolver(resolver(&[("test", &[&service])]))
            .authenticator(verifier())
            .route(Route::new("/a").to("test").authenticated())
            .routes(routes)
            .fallback(fallback)
            .trusted_proxies(["10.0.0.9"])
    };
    let ask = async |gateway: &axum::Router, peer: Option<&str>, path: &str| {
        status_of(gateway, peer, path, &[("x-forwarded-proto", "https")]).await
    };
    let plain = to().build().unwrap().into_router();
    for (path, exposed, private) in [("/a", 403, 401), ("/login", 403, 200), ("/open", 200, 200), ("/else", 403, 200)] {
        assert_eq!(ask(&plain, Some("10.0.0.1"), path).await, exposed, "{path}");
        for peer in [None, Some("127.0.0.1"), Some("::1"), Some("10.0.0.9")] {
            assert_eq!(ask(&plain, peer, path).await, private, "{path} {peer:?}");
        }
    }
    for said in [to().scheme(Scheme::Https), to().insecure_plain_http()] {
        assert_eq!(ask(&said.build().unwrap().into_router(), Some("10.0.0.1"), "/login").await, 200);
    }
}

/// What a request of this peer, made in this process, is answered with.
async fn status_of(gateway: &axum::Router, peer: Option<&str>, path: &str, headers: &[(&str, &str)]) -> u16 {
    let mut request = Request::get(path).header("host", "a");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if let Some(peer) = peer {
        let peer = SocketAddr::new(peer.parse().unwrap(), 1);
        request = request.extension(axum::extract::ConnectInfo(peer));
    }
    let request = request.body(axum::body::Body::empty()).unwrap();
    gateway.clone().oneshot(request).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn what_came_to_a_trusted_proxy_in_clear_text_is_refused() {
    let service = upstream(echo()).await;
    let route = Route::new("/login").to("test").public();
    let gateway = Gateway::builder().resolver(resolver(&[("test", &[&service])])).route(route);
    let gateway = gateway.trusted_proxies(["127.0.0.1", "10.0.0.9"]).build().unwrap().into_router();
    for (peer, chain, proto, status) in [
        ("127.0.0.1", "1.1.1.1", "http", 403),
        ("127.0.0.1", "1.1.1.1", "https", 200),
        ("127.0.0.1", "127.0.0.1", "http", 200),
        // A client on the proxy's machine: what lies between that and ours is clear text, too.
        ("10.0.0.9", "127.0.0.1", "http", 403),
        ("10.0.0.9", "1.1.1.1", "https", 200),
        ("::1", "1.1.1.1", "http", 200),
    ] {
        let headers = [("x-forwarded-for", chain), ("x-forwarded-proto", proto)];
        assert_eq!(status_of(&gateway, Some(peer), "/login", &headers).await, status, "{peer} {chain} {proto}");
    }
}

#[tokio::test]
async fn a_gateway_that_is_served_keeps_its_guard_as_a_router() {
    let service = upstream(echo()).await;
    let route = Route::new("/login").to("test").public();
    let gateway = Gateway::builder().resolver(resolver(&[("test", &[&service])])).route(route).build().unwrap();
    let ended = CancellationToken::new();
    ended.cancel();
    let server = Server::bind("127.0.0.1:0", ServerConfig::default()).await.unwrap();
    gateway.clone().serve(server, ended).await.unwrap();
    let router = gateway.into_router();
    for (peer, status) in [("10.0.0.1", 403), ("127.0.0.1", 200)] {
        assert_eq!(status_of(&router, Some(peer), "/login", &[]).await, status, "{peer}");
    }
}

#[tokio::test]
async fn as_many_websockets_as_connections_are_refused() {
    let ended = CancellationToken::new();
    ended.cancel();
    let serve_with = async |max_tunnels: Option<usize>, max_connections: Option<usize>| {
        let mut config = GatewayConfig::default();
        config.max_tunnels = max_tunnels;
        let mut server = ServerConfig::default();
        server.max_connections = max_connections.unwrap_or(server.max_connections);
        let route = Route::new("/a").to("test").public();
        let gateway = Gateway::builder().config(config).resolver(resolver(&[])).route(route).build().unwrap();
        gateway.serve(Server::bind("127.0.0.1:0", server).await.unwrap(), ended.clone()).await
    };
    serve_with(None, None).await.unwrap();
    serve_with(None, Some(1)).await.unwrap();
    serve_with(Some(99), Some(100)).await.unwrap();
    for (max_tunnels, max_connections) in [(Some(100), Some(100)), (Some(10_000), None)] {
        let error = serve_with(max_tunnels, max_connections).await.unwrap_err().to_string();
        assert!(error.contains("`max_tunnels` = ") && error.contains("`max_connections`"), "{error}");
    }
}

use std::time::Duration;

use axum::{
    Router,
    http::{self, HeaderMap, HeaderValue, Uri},
};
use sap_comm_rest::{
    gateway::{Gateway, Route, Scheme},
    server::Deprecation,
};

use super::support::{canned, echo, get, resolver, send, serve, to, to_service, upstream, verifier};
use crate::support::Files;

#[tokio::test]
async fn a_request_goes_to_the_service_of_its_route() {
    let (users, contents) = (upstream(echo()).await, upstream(echo()).await);
    let gateway = Gateway::builder()
        .resolver(resolver(&[("user-service", &[&users]), ("content-service", &[&contents])]))
        .route(Route::new("/api/v1/users").to("user-service").public())
        .route(Route::new("/api/v1/contents").to("content-service").public())
        .build()
        .unwrap();
    let gateway = serve(gateway).await;
    for (path, asked) in [("/api/v1/users/7?full=1", &users), ("/api/v1/contents", &contents)] {
        let answer = get(&gateway, path).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["target"], path);
        assert_eq!(answer.sent("host").unwrap(), asked.address.to_string());
    }
}

#[tokio::test]
async fn what_no_route_takes_is_not_found() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    for path in ["/", "/apis", "/Api", "/api2/x"] {
        let answer = get(&gateway, path).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "NOT_FOUND"), "{path}");
    }
}

#[tokio::test]
async fn other_methods_are_refused_and_the_allowed_ones_named() {
    let upstream = upstream(echo()).await;
    let route = Route::new("/api").methods(["GET", "POST"]).to("test").public();
    let gateway = serve(to_service(&upstream).route(route).build().unwrap()).await;
    let answer = send(&gateway, "DELETE", "/api", &[], "").await;
    assert_eq!((answer.status, answer.code().as_str()), (405, "METHOD_NOT_ALLOWED"));
    assert_eq!(answer.header("allow"), Some("GET, HEAD, POST"));
    assert_eq!(send(&gateway, "HEAD", "/api", &[], "").await.status, 200);
    assert_eq!(send(&gateway, "POST", "/api", &[], "x").await.json()["body"], "x");
}

#[tokio::test]
async fn a_rewrite_changes_the_path_and_keeps_the_query() {
    let upstream = upstream(echo()).await;
    let route = Route::new("/api/v1/users").to("test").public().rewrite("/people");
    let gateway = serve(to_service(&upstream).route(route).build().unwrap()).await;
    assert_eq!(get(&gateway, "/api/v1/users/7/?a=%2Fb&c").await.json()["target"], "/people/7/?a=%2Fb&c");
}

#[tokio::test]
async fn what_a_service_says_of_its_paths_leads_clients_back_through_the_rewrite() {
    // Says in its answer what the query asks for, of itself.
    let router = Router::new().fallback(async |headers: HeaderMap, uri: Uri| {
        let host = headers["host"].to_str().unwrap().to_owned();
        let prefix = headers.get("x-forwarded-prefix").map_or("none", |value| value.to_str().unwrap());
        let at = uri.query().unwrap_or_default();
        let links = [format!("<{at}>; rel=next, </people?page=1>; rel=\"first\""), format!("<http://{host}/people>")];
        let [one, other] = links.map(|link| HeaderValue::try_from(link).unwrap());
        let mut answer = http::Response::new(axum::body::Body::from(prefix.to_owned()));
        answer.headers_mut().insert("location", format!("https://{host}{at}").try_into().unwrap());
        answer.headers_mut().insert("content-location", at.try_into().unwrap());
        for cookie in ["a=b; Path=/people; Secure", "c=d; Path=/"] {
            answer.headers_mut().append("set-cookie", HeaderValue::from_static(cookie));
        }
        answer.headers_mut().append("link", one);
        answer.headers_mut().append("link", other);
        answer
    });
    let service = upstream(router).await;
    let route = |path: &str| Route::new(path).to("test").public();
    let gateway = to_service(&service)
        .route(route("/api/v1/users").rewrite("/people"))
        .route(route("/t/{tenant}/people").rewrite("/people").preserve_host())
        .route(route("/people"));
    let gateway = serve(gateway.build().unwrap()).await;
    for (path, prefix, mapped, authority) in [
        ("/api/v1/users", "none", "/api/v1/users", None),
        ("/t/acme/people", "/t/acme", "/t/acme/people", Some("gateway.example".to_owned())),
        ("/people", "none", "/people", Some(service.address.to_string())),
    ] {
        let origin = |scheme: &str| authority.as_ref().map(|host| format!("{scheme}://{host}")).unwrap_or_default();
        let forged = [("X-Forwarded-Prefix", "/evil")];
        let answer = send(&gateway, "GET", &format!("{path}?/people/7"), &forged, "").await;
        assert_eq!((answer.status, answer.body.as_slice()), (200, prefix.as_bytes()), "{path}");
        let (https, http) = (origin("https"), origin("http"));
        assert_eq!(answer.header("location"), Some(&*format!("{https}{mapped}/7")), "{path}");
        assert_eq!(answer.header("content-location"), Some(&*format!("{mapped}/7")), "{path}");
        let all = |name: &str| {
            let own = answer.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
            own.map(|(_, value)| value.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(all("set-cookie"), [&*format!("a=b; Path={mapped}; Secure"), "c=d; Path=/"], "{path}");
        let links = all("link");
        assert_eq!(links[0], format!("<{mapped}/7>; rel=next, <{mapped}?page=1>; rel=\"first\""), "{path}");
        assert_eq!(links[1], format!("<{http}{mapped}>"), "{path}");
    }
    let people = route("/t/{tenant}/people").rewrite("/people").preserve_host();
    let over_tls = serve(to_service(&service).route(people).scheme(Scheme::Https).build().unwrap()).await;
    let answer = get(&over_tls, "/t/acme/people?/people/7").await;
    assert!(answer.header("location").is_some_and(|location| location.starts_with("https://")), "{answer:?}");
    let mut led = answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("link")).map(|(_, link)| link);
    assert_eq!(led.next_back().unwrap(), "</t/acme/people>", "a client that came over TLS is not led out of it");
}

#[tokio::test]
async fn the_upstream_sees_the_path_that_was_decided_about() {
    let upstream = upstream(echo()).await;
    let gateway = serve(to(&upstream).build().unwrap()).await;
    assert_eq!(get(&gateway, "/%61pi/%c3%a9/a%7Eb?x=%41").await.json()["target"], "/api/%C3%A9/a~b?x=%41");
}

#[tokio::test]
async fn callers_of_a_deprecated_route_are_told_unless_the_service_does() {
    let plain = upstream(echo()).await;
    let telling = canned(b"HTTP/1.1 200 OK\r\nDeprecation: @1\r\nContent-Length: 0\r\n\r\n").await;
    let ending = canned(
        b"HTTP/1.1 200 OK\r\nSunset: Tue, 01 Jun 2027 00:00:00 GMT\r\nLink: </a>; rel=\"next\"\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let files = Files::new();
    let file = "[[routes]]\npath = \"/file\"\naccess = \"authenticated\"\ntarget = { service = \"plain\" }\n\
                deprecated = { since = \"2026-11-01\", sunset = \"2027-05-01\", successor = \"/api/v2/users\" }\n";
    let path = files.write("routes.toml", file);
    let old = Deprecation::since(2026, 11, 1).sunset(2027, 5, 1).successor("/api/v2/users");
    let gateway = Gateway::builder()
        .resolver(resolver(&[("plain", &[&plain]), ("telling", &[&telling]), ("ending", &[&ending])]))
        .authenticator(verifier())
        .route(Route::new("/old").to("plain").public().deprecated(old))
        .route(Route::new("/telling").to("telling").public().deprecated(old))
        .route(Route::new("/ending").to("ending").public().deprecated(old))
        .route(Route::new("/new").to("plain").public())
        .routes_file(&path, Duration::from_secs(600))
        .build()
        .unwrap();
    let gateway = serve(gateway).await;
    for (path, status) in [("/old", 200), ("/file", 401)] {
        let answer = get(&gateway, path).await;
        assert_eq!((answer.status, answer.header("deprecation")), (status, Some("@1793491200")), "{path}");
        assert_eq!(answer.header("sunset"), Some("Sat, 01 May 2027 00:00:00 GMT"), "{path}");
        assert_eq!(answer.header("link"), Some("</api/v2/users>; rel=\"successor-version\""), "{path}");
    }
    let answer = get(&gateway, "/telling").await;
    assert_eq!((answer.header("deprecation"), answer.header("sunset")), (Some("@1"), None));
    let answer = get(&gateway, "/ending").await;
    let all = |name: &str| {
        let own = answer.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        own.map(|(_, value)| value.as_str()).collect::<Vec<_>>()
    };
    assert_eq!((all("deprecation"), all("sunset")), (vec!["@1793491200"], vec!["Tue, 01 Jun 2027 00:00:00 GMT"]));
    assert_eq!(all("link"), ["</a>; rel=\"next\"", "</api/v2/users>; rel=\"successor-version\""]);
    assert_eq!(get(&gateway, "/new").await.header("deprecation"), None);
}

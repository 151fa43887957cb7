//! What the gateway shows of itself.

use sap_comm_core::Secret;
use sap_comm_rest::{
    gateway::Route,
    server::{Server, ServerConfig},
};
use tokio_util::sync::CancellationToken;

use super::support::{Running, bearer, echo, get, send, serve, to_service, upstream, verifier};

#[tokio::test]
async fn the_admin_page_shows_routes_endpoints_and_breakers_to_its_role_only() {
    let service = upstream(echo()).await;
    let gateway = to_service(&service)
        .authenticator(verifier())
        .api_key(Secret::new("sap_hidden_key".to_owned()))
        .route(Route::new("/api/{id}").methods(["GET"]).to("test").authenticated().roles(["reader"]))
        .build()
        .unwrap();
    let edge = serve(gateway.clone()).await;
    send(&edge, "GET", "/api/7", &[("Authorization", &bearer(&["reader"]))], "").await;

    let server = Server::bind("127.0.0.1:0", ServerConfig::default()).await.unwrap();
    let address = server.local_addr();
    let router = gateway.admin(verifier(), "admin");
    let admin = Running::spawn(address, async move {
        server.serve(router, CancellationToken::new()).await.unwrap();
    });
    assert_eq!((get(&admin, "/").await.status, get(&edge, "/upstreams").await.status), (401, 404));
    let reader = bearer(&["reader"]);
    assert_eq!(send(&admin, "GET", "/", &[("Authorization", &reader)], "").await.status, 403);

    let token = bearer(&["admin"]);
    let all = send(&admin, "GET", "/", &[("Authorization", &token)], "").await;
    assert_eq!(all.status, 200);
    let json = all.json();
    assert_eq!(json["service"], "api-gateway");
    assert_eq!((&json["routes"][0]["path"], &json["routes"][0]["roles"][0]), (&"/api/{id}".into(), &"reader".into()));
    let shown = &json["upstreams"][0];
    assert_eq!(shown["endpoints"]["service"], "test");
    assert_eq!(shown["endpoints"]["endpoints"][0]["endpoint"], format!("http://{}", service.address));
    assert_eq!(shown["endpoints"]["endpoints"][0]["successes"], 1);
    assert_eq!(shown["breaker"]["state"], "closed");
    let text = String::from_utf8(all.body.clone()).unwrap();
    assert!(!text.contains("hidden") && !text.contains(&token), "{text}");
    for (path, field) in [("/routes", "path"), ("/upstreams", "breaker")] {
        let part = send(&admin, "GET", path, &[("Authorization", &token)], "").await;
        assert!(!part.json()[0][field].is_null(), "{path}");
    }
}

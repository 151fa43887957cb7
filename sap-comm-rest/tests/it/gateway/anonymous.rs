//! A caller that a gateway does not know stays unknown to the services behind it, whatever key the gateway shows.

use std::sync::Arc;

use axum::{Extension, Router, routing::get};
use sap_comm_core::{
    ApiError, Principal, Secret, StaticResolver,
    auth::{ApiKey, ApiKeySet},
};
use sap_comm_rest::{
    gateway::{Gateway, GatewayBuilder, Route},
    operation::{Contract, Operation, ResourceId},
    server::{
        ContractRouter, Json, Path,
        auth::{Authenticator, CurrentUser, Identity, authenticate},
    },
    tls::{CertificateName, ClientTls, ClientTlsConfig},
};
use sap_comm_testkit::tls::TestCa;

use super::support::{Running, bearer, echo, send, serve, to, to_service, upstream, verifier};
use crate::{
    support::Files,
    tls::support::{https, serve_tls, server_options},
};

type ById = (Path<ResourceId>,);
const READ: Operation<ById, Json<String>> = Operation::get("/contents/{id}").public();
const AUDIT: Operation<ById, Json<String>> = Operation::get("/contents/{id}/audit").internal();
const SEAL: Operation<ById, Json<String>> =
    Operation::post("/contents/{id}/seal").scopes(&["contents:seal"]).internal();
const CONTENTS: Contract = Contract::new("test", &[READ.definition(), AUDIT.definition(), SEAL.definition()]);

/// The principal of an administrator, as a peer sends it.
const ADMIN: &str = "eyJpZCI6InVzcl9hZG1pbiIsImtpbmQiOiJ1c2VyIiwicm9sZXMiOlsiYWRtaW4iXX0";

/// A service, and the keys that it takes.
struct World {
    service: Running,
    authenticator: Authenticator,
    gateway: String,
    worker: String,
}

async fn world() -> World {
    let (gateway, worker) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
    let keys = ApiKeySet::new([
        gateway.record("api-gateway", ["delegate", "contents:seal"]),
        worker.record("worker", ["contents:seal"]),
    ]);
    let authenticator = Authenticator::builder().jwt(verifier()).api_keys(keys).build().unwrap();
    let read = async |Path(id): Path<ResourceId>| Ok::<_, ApiError>(Json(id.into()));
    let known = async |user: CurrentUser, _: Path<ResourceId>| Ok::<_, ApiError>(Json(user.id.clone()));
    let contract = ContractRouter::new(&CONTENTS)
        .authenticate(authenticator.clone())
        .serve(READ, read)
        .serve(AUDIT, known)
        .serve(SEAL, known)
        .build(())
        .unwrap();
    let service = upstream(contract.merge(whoever(&authenticator))).await;
    let key = |key: &ApiKey| key.expose().expose().clone();
    World { service, authenticator, gateway: key(&gateway), worker: key(&worker) }
}

/// Tells at `/maybe` who asks.
fn whoever(authenticator: &Authenticator) -> Router {
    let maybe = get(async |user: Option<Extension<Identity>>| {
        user.map_or("nobody".to_owned(), |user| user.principal.id.clone())
    });
    Router::new().route("/maybe", maybe.layer(authenticate(authenticator.clone()).optional()))
}

impl World {
    async fn behind(&self, build: impl FnOnce(GatewayBuilder) -> GatewayBuilder) -> Running {
        let gateway = build(to_service(&self.service).api_key(Secret::new(self.gateway.clone())));
        serve(gateway.build().unwrap()).await
    }
}

#[tokio::test]
async fn a_public_operation_opens_nothing_below_it() {
    let world = world().await;
    let edge = world.behind(|gateway| gateway.routes(CONTENTS.routes())).await;
    for (method, path, status) in [
        ("GET", "/contents/1", 200),
        ("GET", "/contents/1/", 404),
        ("GET", "/contents/1/audit", 404),
        ("GET", "/contents/1/audit/", 404),
        ("POST", "/contents/1/seal", 404),
    ] {
        let answer = send(&edge, method, path, &[], "").await;
        assert_eq!(answer.status, status, "{method} {path}");
    }
}

#[tokio::test]
async fn who_is_not_known_at_the_gateway_is_not_taken_for_the_gateway_behind_it() {
    let world = world().await;
    let edge = world.behind(|gateway| gateway.route(Route::new("/").to("test").public())).await;
    let nobody = [("GET", "/contents/1/audit"), ("POST", "/contents/1/seal")];
    for (method, path) in nobody {
        let answer = send(&edge, method, path, &[("x-principal", "eyJpZCI6InJvb3QifQ")], "").await;
        let code = answer.json()["error"]["code"].clone();
        assert_eq!((answer.status, code), (401, "UNAUTHENTICATED".into()), "{method} {path}");
        // A service that calls for itself is known by its key.
        let own = [("x-api-key", world.worker.as_str())];
        let answer = send(&world.service, method, path, &own, "").await;
        assert_eq!((answer.status, answer.json()), (200, "worker".into()), "{method} {path}");
    }
    assert_eq!(send(&edge, "GET", "/maybe", &[], "").await.body, b"nobody");
    let token = bearer(&[]);
    let answer = send(&edge, "GET", "/contents/1/audit", &[("authorization", &token)], "").await;
    assert_eq!((answer.status, answer.json()), (200, "usr_1".into()));
}

#[tokio::test]
async fn a_gateway_behind_another_does_not_take_it_for_the_user_either() {
    let world = world().await;
    let [outer_key, user] = [ApiKey::generate().unwrap(), ApiKey::generate().unwrap()];
    let keys = ApiKeySet::new([
        outer_key.record("outer-gateway", ["delegate", "contents:seal"]),
        user.record("plain-service", ["contents:read"]),
    ]);
    let authenticator = Authenticator::builder().jwt(verifier()).api_keys(keys).build().unwrap();
    let route = || Route::new("/").to("test").authenticated();
    let inner = world.behind(|gateway| gateway.authenticator(authenticator.clone()).route(route())).await;
    let outer = to_service(&inner).api_key(outer_key.expose().clone()).authenticator(authenticator);
    let outer = outer
        .route(Route::new("/").to("test").public())
        .route(Route::new("/known").to("test").rewrite("/").authenticated());
    let outer = serve(outer.build().unwrap()).await;
    let (token, user) = (bearer(&[]), user.expose().expose().clone());
    let (token, key) = (("authorization", token.as_str()), ("x-api-key", user.as_str()));
    for (path, shown, status) in [
        ("/contents/1/audit", &[][..], 401),
        ("/contents/1/audit", &[token], 200),
        ("/known/contents/1/audit", &[token], 200),
        // Known to the outer gateway alone, which names it.
        ("/known/contents/1/audit", &[key], 401),
    ] {
        let answer = send(&outer, "GET", path, shown, "").await;
        assert_eq!(answer.status, status, "{path} {shown:?}");
        assert!(status == 401 || answer.json() == "usr_1", "{path} {shown:?}");
    }
    // A service that may not speak for users calls as itself, whomever its context names.
    let answer = send(&inner, "GET", "/contents/1/audit", &[key, ("x-principal", ADMIN)], "").await;
    assert_eq!((answer.status, answer.json()), (200, "plain-service".into()));
}

#[tokio::test]
async fn nobody_is_named_where_the_gateway_is_known_by_its_certificate() {
    let (files, ca) = (Files::new(), TestCa::new().unwrap());
    let (cert, key) = files.identity("gateway", &ca.client("api-gateway").unwrap());
    let options = ClientTlsConfig::default().ca(files.write("ca.pem", ca.pem()));
    let service = upstream(echo()).await;
    for (options, unknown) in [(options.clone(), None), (options.identity(cert, key), Some("-"))] {
        let gateway = to(&service).upstream_tls(ClientTls::load(options).unwrap());
        let gateway = serve(gateway.build().unwrap()).await;
        let answer = send(&gateway, "GET", "/api", &[("x-principal", "e30")], "").await;
        assert_eq!(answer.sent("x-principal").as_deref(), unknown.or(Some("?")));
        // The client's own key says who it is.
        let answer = send(&gateway, "GET", "/api", &[("x-api-key", "sap_a_b")], "").await;
        assert_eq!((answer.sent("x-principal"), answer.sent("x-api-key").as_deref()), (None, Some("sap_a_b")));
    }
}

#[tokio::test]
async fn a_gateway_that_knows_nobody_passes_on_that_another_asks_for_nobody() {
    let world = world().await;
    let local = || to_service(&world.service).fallback(whoever(&world.authenticator));
    for (name, inner) in [
        ("the router for what no route takes", local().route(Route::new("/other").local().public())),
        ("a local route", local().route(Route::new("/maybe").local().public())),
        ("a service", to_service(&world.service).route(Route::new("/maybe").to("test").public())),
    ] {
        let inner = serve(inner.build().unwrap()).await;
        let outer = to_service(&inner).api_key(Secret::new(world.gateway.clone()));
        let outer = serve(outer.route(Route::new("/").to("test").public()).build().unwrap()).await;
        assert_eq!(send(&outer, "GET", "/maybe", &[], "").await.body, b"nobody", "{name}");
        let token = bearer(&[]);
        let answer = send(&outer, "GET", "/maybe", &[("authorization", &token)], "").await;
        assert_eq!(answer.body, b"usr_1", "{name}");
        // From outside nobody else is believed: one that may speak for users asks for nobody then, and another for itself.
        for (key, who) in [(&world.gateway, "nobody"), (&world.worker, "worker")] {
            let answer = send(&inner, "GET", "/maybe", &[("x-principal", ADMIN), ("x-api-key", key)], "").await;
            assert_eq!(answer.body, who.as_bytes(), "{name}");
        }
    }
}

#[tokio::test]
async fn a_key_of_a_client_does_not_make_it_the_gateway_that_is_known_by_its_certificate() {
    let (files, ca, worker) = (Files::new(), TestCa::new().unwrap(), ApiKey::generate().unwrap());
    let keys = || ApiKeySet::new([worker.record("worker", ["contents:seal"])]);
    let options = server_options(&files, &ca).client_ca(files.write("ca.pem", ca.pem()));
    let (cert, key) = files.identity("gateway", &ca.client("api-gateway").unwrap());
    let tls = ClientTls::load(ClientTlsConfig::default().ca(files.path("ca.pem")).identity(cert, key)).unwrap();
    let key = worker.expose().expose().clone();
    for (takes_keys, forged, own) in [(false, "nobody", "nobody"), (true, "401", "worker")] {
        let authenticator = Authenticator::builder().client_certificate(
            CertificateName::CommonName("api-gateway".into()),
            Principal::service("api-gateway", ["delegate", "contents:seal"]),
        );
        let authenticator = if takes_keys { authenticator.api_keys(keys()) } else { authenticator };
        let (service, _tls) = serve_tls(whoever(&authenticator.build().unwrap()), options.clone()).await;
        let resolver = StaticResolver::new();
        resolver.set("test", [https(&service)]);
        let gateway = Gateway::builder()
            .resolver(Arc::new(resolver))
            .without_rate_limit()
            .upstream_tls(tls.clone())
            .authenticator(Authenticator::builder().api_keys(keys()).build().unwrap())
            .route(Route::new("/").to("test").public())
            .route(Route::new("/known").to("test").rewrite("/").authenticated());
        let gateway = serve(gateway.build().unwrap()).await;
        for (path, key, who) in [
            ("/maybe", None, "nobody"),
            ("/maybe", Some("x"), forged),
            ("/maybe", Some(key.as_str()), own),
            // Whom the gateway knows by a key that the service does not take.
            ("/known/maybe", Some(key.as_str()), "worker"),
        ] {
            let headers: Vec<_> = key.iter().map(|key| ("x-api-key", *key)).collect();
            let answer = send(&gateway, "GET", path, &headers, "").await;
            let said =
                if answer.status == 200 { String::from_utf8(answer.body).unwrap() } else { answer.status.to_string() };
            assert_eq!(said, who, "{path} {key:?}, keys are taken: {takes_keys}");
        }
    }
}

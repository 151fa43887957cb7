//! What no log may show.

use std::{
    fmt::{Debug, Write},
    sync::Arc,
    time::Duration,
};

use axum::{Router, routing::get};
use sap_comm_core::auth::{ApiKey, ApiKeySet};
use sap_comm_rest::{
    gateway::Route,
    server::{
        KitConfig,
        auth::{Authenticator, authenticate, require_scope},
        kit,
    },
};
use tokio::{sync::watch, time::timeout};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

use super::support::{send, serve, to_service, upstream};
use crate::support::client_of;

/// Only a hang takes as long.
const LIMIT: Duration = Duration::from_secs(60);

/// Keeps whatever anybody says at any level, spans and all.
#[derive(Clone, Default)]
struct Everything(Arc<watch::Sender<String>>);

impl Visit for &Everything {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.send_modify(|said| _ = write!(said, "{}={value:?} ", field.name()));
    }
}

impl Subscriber for Everything {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut &*self);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut &*self);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut &*self);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn authenticator(key: &ApiKey) -> Authenticator {
    let keys = ApiKeySet::new([key.record("report-service", ["reports:read"])]);
    Authenticator::builder().api_keys(keys).build().unwrap()
}

#[tokio::test]
async fn no_api_key_is_ever_logged_good_or_bad() {
    let everything = Everything::default();
    // With one dispatcher only, a thread without it could switch the call site off for all.
    let _second = tracing::Dispatch::new(everything.clone());
    let _guard = tracing::subscriber::set_default(everything.clone());
    let (callers, own, stranger) =
        (ApiKey::generate().unwrap(), ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
    let router = Router::new().route("/reports", get(async || "7"));
    let guarded = router.layer((authenticate(authenticator(&own)), require_scope("reports:read")));
    let service = upstream(kit(guarded, KitConfig::default())).await;
    let gateway = to_service(&service)
        .authenticator(authenticator(&callers))
        .api_key(own.expose())
        .route(Route::new("/reports").to("test").authenticated());
    let gateway = serve(gateway.build().unwrap()).await;

    let (good, unknown) = (callers.expose().expose().clone(), stranger.expose().expose().clone());
    // Of the right prefix, and wrong in its last letter.
    let wrong = format!("{}!", &good[..good.len() - 1]);
    let malformed = good.replace("sap_", "pas_");
    let bearer = format!("Bearer {good}");
    let mut statuses = Vec::new();
    for headers in [
        &[("x-api-key", good.as_str())][..],
        &[("x-api-key", &unknown)],
        &[("x-api-key", &wrong)],
        &[("x-api-key", &malformed)],
        &[("x-api-key", &good), ("x-api-key", &unknown)],
        &[("authorization", &bearer)],
        &[("authorization", &good)],
    ] {
        statuses.push(send(&gateway, "GET", &format!("/reports?key={good}"), headers, "").await.status);
    }
    assert_eq!(statuses, [200, 401, 401, 401, 400, 401, 401]);
    // The client's side, whose refusals are logged where they are handled.
    for key in [&callers, &stranger] {
        let client = client_of(gateway.endpoint()).api_key(key.expose()).build().unwrap();
        let answered = client.get("/reports", []).fetch::<u32>().await;
        tracing::warn!(?client, ?answered, "asked");
    }

    // They are written by a task beside the requests.
    let mut said = everything.0.subscribe();
    let all = said.wait_for(|said| said.matches("http.response.status_code=").count() >= 9);
    let in_time = timeout(LIMIT, all).await.is_ok();
    let said = said.borrow().clone();
    assert!(in_time, "not every request was logged: {said}");
    assert!(said.contains("report-service") && said.contains("message=asked"), "nothing was kept: {said}");
    for key in [&callers, &own, &stranger] {
        let text = key.expose().expose().clone();
        let secret = text.splitn(3, '_').nth(2).unwrap();
        // Of a key that is wrong in one letter the others are as secret.
        assert!(!said.contains(&secret[..16]), "{secret} in {said}");
    }
}

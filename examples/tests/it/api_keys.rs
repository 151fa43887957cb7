//! Two auth-services on one database.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use sap_comm::{
    Context, Endpoint, Principal, RunningService, Secret, StaticResolver,
    auth::{ApiKey, ApiKeySet},
    events::{Broker, BrokerConfig},
    rest::{
        client::{CallError, Client, ClientError},
        tls::ClientTls,
    },
};
use sap_comm_examples::{
    auth_service,
    contract::{
        api::{CREATE_API_KEY, DELETE_CREDENTIALS, REVOKE_API_KEY},
        rest::{CreateApiKey, NewApiKey},
    },
    database::DatabaseUrl,
    deps::Deps,
};
use sap_comm_testkit::Postgres;
use tokio::time::Instant;

use crate::program::eventually;

/// What the instances promise, and time for a busy machine.
const BOUND: Duration = Duration::from_secs(4 + 10);

/// An instance, which trusts the operator.
async fn instance(database: &DatabaseUrl, operator: &ApiKey) -> RunningService {
    let deps = Deps {
        broker: Broker::connect("memory://", BrokerConfig::new("test")).await.unwrap(),
        database: database.clone(),
        resolver: Arc::new(StaticResolver::new()),
        registrar: None,
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        advertise: None,
        service_key: None,
        trusted_keys: ApiKeySet::new([operator.record("operator", ["delegate"])]),
        tls: None,
        client_tls: ClientTls::default(),
    };
    auth_service::start(deps).await.unwrap()
}

fn client(instance: &RunningService, key: &Secret<String>) -> Client {
    let resolver = StaticResolver::new();
    resolver.set(auth_service::NAME, [Endpoint::parse(&format!("http://{}", instance.local_addr())).unwrap()]);
    Client::builder(auth_service::NAME).resolver(Arc::new(resolver)).api_key(key.clone()).build().unwrap()
}

/// The status of a call that needs the key.
async fn status(instance: &RunningService, key: &Secret<String>) -> u16 {
    match client(instance, key).call(&DELETE_CREDENTIALS, ("usr_nobody",)).await {
        Ok(_) => 204,
        Err(CallError::Other(ClientError::Api(error))) => error.status().as_u16(),
        Err(error) => panic!("{error}"),
    }
}

async fn until(instance: &RunningService, key: &Secret<String>, wanted: u16) {
    eventually(Instant::now() + BOUND, Duration::from_millis(50), async || match status(instance, key).await {
        status if status == wanted => Ok(()),
        other => Err(format!("{other}, not {wanted}")),
    })
    .await;
}

async fn instances_follow_each_other(database: DatabaseUrl) {
    let operator = ApiKey::generate().unwrap();
    let (one, two) = (instance(&database, &operator).await, instance(&database, &operator).await);
    let admin = Context::root().with_principal(Principal::user("operator", ["admin"]));
    let at_one = client(&one, &operator.expose());
    let input = CreateApiKey { owner: "user-service".into(), scopes: vec!["credentials:write".into()] };
    let made: NewApiKey = admin.clone().scope(at_one.call(&CREATE_API_KEY, (&input,)).into_future()).await.unwrap();
    let key = Secret::new(made.key);
    assert_eq!(status(&one, &key).await, 204, "at once where it was made");
    until(&two, &key, 204).await;

    admin.scope(at_one.call(&REVOKE_API_KEY, (made.prefix.as_str(),)).into_future()).await.unwrap();
    assert_eq!(status(&one, &key).await, 401, "at once where it was revoked");
    until(&two, &key, 401).await;
    for instance in [one, two] {
        instance.drain().await.unwrap();
    }
}

#[tokio::test]
async fn keys_of_another_instance_are_seen_in_time() {
    let directory = tempfile::tempdir().unwrap();
    instances_follow_each_other(DatabaseUrl::Sqlite(directory.path().to_owned())).await;
}

#[tokio::test]
async fn keys_of_another_instance_are_seen_in_time_on_postgresql() {
    let postgres = Postgres::shared().await.unwrap().new_database().await.unwrap();
    instances_follow_each_other(postgres.parse().unwrap()).await;
}

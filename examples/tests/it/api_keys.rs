//! API keys that are made over REST: at two auth-services on one database, and at a service that asks one.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use sap_comm::{
    Context, Endpoint, Principal, RunningService, Secret, StaticResolver,
    auth::{ApiKey, ApiKeyRecord},
    events::{Broker, BrokerConfig},
    rest::{
        client::{CallError, Client, ClientError},
        tls::ClientTls,
    },
};
use sap_comm_examples::{
    auth_service,
    contract::{
        api::{AuthError, CREATE_API_KEY, DELETE_CREDENTIALS, GET_USER, MAX_LIVE_API_KEYS, REVOKE_API_KEY},
        rest::{CreateApiKey, NewApiKey, RESERVED_SCOPES},
    },
    database::{Database, DatabaseUrl},
    deps::Deps,
    trusted_keys::TrustedKeys,
    user_service,
};
use sap_comm_testkit::Postgres;
use tokio::time::Instant;

use crate::program::eventually;

/// What the instances promise, and time for a busy machine.
const BOUND: Duration = Duration::from_secs(4 + 10);

/// What a service is given that trusts the operator, and these.
async fn deps(database: &DatabaseUrl, trusted: impl IntoIterator<Item = ApiKeyRecord>) -> Deps {
    Deps {
        broker: Broker::connect("memory://", BrokerConfig::new("test")).await.unwrap(),
        database: database.clone(),
        resolver: Arc::new(StaticResolver::new()),
        registrar: None,
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        advertise: None,
        service_key: None,
        trusted_keys: TrustedKeys::new(trusted),
        tls: None,
        client_tls: ClientTls::default(),
        drain_timeout: Duration::from_secs(4),
    }
}

/// An instance, which trusts the operator.
async fn instance(database: &DatabaseUrl, operator: &ApiKey) -> RunningService {
    auth_service::start(deps(database, [operator.record("operator", ["delegate"])]).await).await.unwrap()
}

fn resolver(instance: &RunningService) -> Arc<StaticResolver> {
    let resolver = StaticResolver::new();
    let endpoint = Endpoint::parse(&format!("http://{}", instance.local_addr())).unwrap();
    resolver.set(instance.name(), [endpoint]);
    Arc::new(resolver)
}

fn client(instance: &RunningService, key: &Secret<String>) -> Client {
    Client::builder(instance.name()).resolver(resolver(instance)).api_key(key.clone()).build().unwrap()
}

/// The status of a call that needs more than the key may: 403 where it is trusted.
async fn status(instance: &RunningService, key: &Secret<String>) -> u16 {
    match client(instance, key).call(&DELETE_CREDENTIALS, ("usr_nobody",)).await {
        Ok(_) => 204,
        Err(CallError::Other(ClientError::Api(error))) => error.status().as_u16(),
        Err(error) => panic!("{error}"),
    }
}

async fn until(wanted: u16, ask: impl AsyncFn() -> u16) {
    eventually(Instant::now() + BOUND, Duration::from_millis(50), async || match ask().await {
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
    let input = CreateApiKey { owner: "user-service".into(), scopes: vec!["users:read".into()] };
    let made: NewApiKey = admin.clone().scope(at_one.call(&CREATE_API_KEY, (&input,)).into_future()).await.unwrap();
    let key = Secret::new(made.key);
    assert_eq!(status(&one, &key).await, 403, "at once where it was made");
    until(403, async || status(&two, &key).await).await;

    admin.scope(at_one.call(&REVOKE_API_KEY, (made.prefix.as_str(),)).into_future()).await.unwrap();
    assert_eq!(status(&one, &key).await, 401, "at once where it was revoked");
    until(401, async || status(&two, &key).await).await;
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

#[tokio::test]
async fn a_key_that_acts_for_others_is_refused_and_so_is_one_beyond_the_limit() {
    let directory = tempfile::tempdir().unwrap();
    let database = DatabaseUrl::Sqlite(directory.path().to_owned());
    let operator = ApiKey::generate().unwrap();
    let auth = instance(&database, &operator).await;
    let admin = Context::root().with_principal(Principal::user("operator", ["admin"]));
    let at_auth = client(&auth, &operator.expose());
    let create = async |scopes: &[&str]| {
        let scopes = scopes.iter().copied().map(str::to_owned).collect();
        let input = CreateApiKey { owner: "report-service".into(), scopes };
        admin.clone().scope(at_auth.call(&CREATE_API_KEY, (&input,)).into_future()).await
    };
    for scope in RESERVED_SCOPES {
        match create(&["users:read", scope]).await {
            Err(CallError::Other(ClientError::Api(error))) => {
                assert_eq!(error.status().as_u16(), 422, "{error}");
                let reason = error.details()["fields"]["scopes[1]"][0].as_str().unwrap_or_default();
                assert!(reason.starts_with(scope) && reason.contains("SAP_TRUSTED_KEYS"), "{:?}", error.details());
            }
            other => panic!("{scope}: {other:?}"),
        }
    }
    let rows = format!(
        "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {MAX_LIVE_API_KEYS})
         INSERT INTO service_keys SELECT 'k' || i, '', 'filler', '[]', i, NULL FROM n"
    );
    let filler = Database::open(&database, auth_service::NAME, "").await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(rows)).execute(filler.pool()).await.unwrap();
    filler.close().await;
    let last = create(&[]).await.unwrap();
    for _ in 0..2 {
        match create(&[]).await {
            Err(CallError::Declared { code: AuthError::TooManyApiKeys, error }) => {
                assert_eq!(error.status().as_u16(), 409);
            }
            other => panic!("{other:?}"),
        }
    }
    admin.clone().scope(at_auth.call(&REVOKE_API_KEY, (last.prefix.as_str(),)).into_future()).await.unwrap();
    create(&[]).await.unwrap();
    auth.drain().await.unwrap();
}

#[tokio::test]
async fn a_key_of_auth_service_is_accepted_by_a_service_that_asks_it_until_it_is_revoked() {
    let directory = tempfile::tempdir().unwrap();
    let database = DatabaseUrl::Sqlite(directory.path().to_owned());
    let (operator, own) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
    let records = [
        operator.record("operator", ["delegate"]),
        own.record(user_service::NAME, ["api-keys:read", "credentials:write"]),
    ];
    let auth = auth_service::start(deps(&database, records.clone()).await).await.unwrap();
    let asking = Deps { resolver: resolver(&auth), service_key: Some(own.expose()), ..deps(&database, records).await };
    let users = user_service::start(asking).await.unwrap();

    let admin = Context::root().with_principal(Principal::user("operator", ["admin"]));
    let at_auth = client(&auth, &operator.expose());
    let input = CreateApiKey { owner: "report-service".into(), scopes: vec!["users:read".into()] };
    let made: NewApiKey = admin.clone().scope(at_auth.call(&CREATE_API_KEY, (&input,)).into_future()).await.unwrap();
    let at_users = client(&users, &Secret::new(made.key));
    let ask = async || match at_users.call(&GET_USER, ("usr_nobody",)).await {
        Ok(_) => 200,
        Err(CallError::Declared { error, .. }) => error.status().as_u16(),
        Err(CallError::Other(ClientError::Api(error))) => error.status().as_u16(),
        Err(error) => panic!("{error}"),
    };
    until(404, ask).await;
    admin.scope(at_auth.call(&REVOKE_API_KEY, (made.prefix.as_str(),)).into_future()).await.unwrap();
    until(401, ask).await;
    for service in [users, auth] {
        service.drain().await.unwrap();
    }
}

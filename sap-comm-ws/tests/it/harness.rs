use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use sap_comm_core::{
    ApiError, Context, ErrorCode, Secret, Timestamp,
    auth::{Audience, Claims, JwtSigner, JwtVerifier, KeySet},
};
use sap_comm_ws::{NotificationSink, RealtimeGateway, RealtimeGatewayBuilder};
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc},
    task::JoinHandle,
    time::timeout,
};

const SECRET: &str = "a shared secret of at least 32 bytes";
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// What the sink was told, with the trace id and the principal that it ran under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) what: &'static str,
    pub(crate) user: String,
    pub(crate) id: String,
    pub(crate) trace: String,
    pub(crate) principal: Option<String>,
}

struct Recorder(mpsc::UnboundedSender<Report>);

impl Recorder {
    fn record(&self, what: &'static str, user: &str, id: &str) {
        let context = Context::current();
        let _ = self.0.send(Report {
            what,
            user: user.into(),
            id: id.into(),
            trace: context.trace().trace_id(),
            principal: context.principal().map(|principal| principal.id.clone()),
        });
    }
}

#[async_trait]
impl NotificationSink for Recorder {
    async fn acknowledged(&self, user_id: &str, notification_id: &str) -> Result<(), ApiError> {
        self.record("acknowledged", user_id, notification_id);
        Ok(())
    }

    async fn read(&self, user_id: &str, notification_id: &str) -> Result<(), ApiError> {
        if notification_id == "unknown" {
            return Err(ApiError::not_found("notification", notification_id));
        }
        if notification_id == "broken" {
            return Err(ApiError::internal("the database password is hunter2"));
        }
        self.record("read", user_id, notification_id);
        Ok(())
    }

    async fn connected(&self, user_id: &str, socket_id: &str) {
        self.record("connected", user_id, socket_id);
    }

    async fn disconnected(&self, user_id: &str, socket_id: &str) {
        self.record("disconnected", user_id, socket_id);
    }
}

/// A gateway on a free port.
pub(crate) struct Server {
    pub(crate) gateway: RealtimeGateway,
    pub(crate) authority: String,
    reports: Mutex<mpsc::UnboundedReceiver<Report>>,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start() -> Arc<Self> {
        Self::with(|builder| builder).await
    }

    pub(crate) async fn with(change: impl FnOnce(RealtimeGatewayBuilder) -> RealtimeGatewayBuilder) -> Arc<Self> {
        let (sender, reports) = mpsc::unbounded_channel();
        let keys = KeySet::hs256(&Secret::new(SECRET.into())).unwrap();
        let verifier = JwtVerifier::builder("auth-service", "sap").keys(keys).build().unwrap();
        let builder = RealtimeGateway::builder().authenticate(verifier).sink(Recorder(sender));
        let gateway = change(builder).build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let router = gateway.router();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Arc::new(Self { gateway, authority, reports: Mutex::new(reports), task })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.authority)
    }

    /// The next report of this sort.
    pub(crate) async fn report(&self, what: &str) -> Report {
        let mut reports = self.reports.lock().await;
        let search = async {
            loop {
                let report = reports.recv().await.expect("the gateway is gone");
                if report.what == what {
                    return report;
                }
            }
        };
        timeout(LIMIT, search).await.unwrap_or_else(|_| panic!("no report {what:?} within {LIMIT:?}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A token of `user` that ends after `seconds`; it ended before when negative.
pub(crate) fn token_for(user: &str, seconds: i64) -> String {
    let now = Timestamp::now().as_secs();
    let claims = Claims {
        iss: "auth-service".into(),
        sub: user.into(),
        aud: Audience::One("sap".into()),
        exp: u64::try_from(now + seconds).unwrap(),
        iat: u64::try_from(now).ok(),
        nbf: None,
        jti: None,
        roles: vec!["user".into()],
        scope: String::new(),
    };
    JwtSigner::hs256(&Secret::new(SECRET.into())).unwrap().sign(&claims).unwrap()
}

pub(crate) fn token(user: &str) -> String {
    token_for(user, 600)
}

pub(crate) fn code(value: &serde_json::Value) -> ErrorCode {
    ErrorCode::from_wire(value["error"]["code"].as_str().unwrap_or_else(|| panic!("no envelope: {value}")))
}

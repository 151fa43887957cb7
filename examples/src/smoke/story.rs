use std::time::Instant;

use sap_comm::TraceContext;
use serde_json::{Value, json};

use super::{
    expect::{eventually, same, that},
    http::Http,
    observer::Observer,
    socket::Socket,
};
use crate::{
    cluster::{Cluster, Log, ServiceName},
    demo,
    deps::StartError,
};

type Result<T = ()> = std::result::Result<T, StartError>;

/// The story, and what it has learnt so far.
pub(super) struct Story {
    cluster: Cluster,
    observer: Observer,
    log: Log,
    http: Http,
    trace: TraceContext,
    admin: String,
    user: String,
    user_id: String,
}

/// Runs a step, and prints what it checked and how long it took.
macro_rules! step {
    ($what:literal, $step:expr) => {{
        let begun = Instant::now();
        let result: Result = $step.await;
        result.map_err(|error| StartError::from(format!("{}: {error}", $what)))?;
        println!("{:>6} ms  {}", begun.elapsed().as_millis(), $what);
    }};
}

impl Story {
    pub(super) fn new(cluster: Cluster, observer: Observer, log: Log) -> Self {
        let http = Http::new(cluster.gateway());
        let trace = TraceContext::root();
        let (admin, user, user_id) = Default::default();
        Self { cluster, observer, log, http, trace, admin, user, user_id }
    }

    pub(super) async fn tell(&mut self) -> Result {
        step!("five services announced themselves on system.events", self.system_events());
        step!("401 without a token, 401 with a bad one, 404, 400: each the envelope", self.refusals());
        step!("login; 403 with the wrong role", self.login());
        step!("a user created through the gateway: 201 and Location; 409, 422", self.create_user());
        step!("the profile made from user.created", self.profile());
        step!("users listed by pages, with Link", self.pages());
        step!("GraphQL joins user and profile in one query", self.graphql());
        step!("a socket without a token refused", self.foreign_socket());
        step!("content published, notification pushed, acknowledged, status read", self.notification());
        step!("a poisoned event retried, dead-lettered, reported on error.events", self.poison());
        step!("a service down: breaker opens, 503 with Retry-After; back: recovers", self.breaker());
        step!("one trace id across REST, broker, socket and GraphQL in the logs", self.trace());
        step!("429 over the limit, with Retry-After", self.rate_limit());
        Ok(())
    }

    pub(super) async fn end(self) -> Result {
        self.observer.end().await;
        self.cluster.shutdown().await
    }

    async fn system_events(&mut self) -> Result {
        for service in ServiceName::ALL {
            let name = format!("{:?}", service.as_str());
            self.observer
                .find(&format!("service.started of {service}"), |event| {
                    event.event_type == "service.started" && event.data.get().contains(&name)
                })
                .await?;
        }
        Ok(())
    }

    async fn refusals(&mut self) -> Result {
        let answer = self.http.get("/api/v1/users").refused(401, "UNAUTHENTICATED").await?;
        that("a challenge", answer.header("www-authenticate").starts_with("Bearer"), &answer.headers)?;
        self.http.get("/api/v1/users").token("not.a.token").refused(401, "INVALID_TOKEN").await?;
        self.http.get("/api/v1/nothing").refused(404, "NOT_FOUND").await?;
        self.http.call("POST", "/api/v1/auth/login").body("{\"email\":").refused(400, "MALFORMED_BODY").await?;
        Ok(())
    }

    async fn login(&mut self) -> Result {
        let wrong = json!({"email": demo::USER.0, "password": "wrong"});
        self.http.post("/api/v1/auth/login", &wrong).refused(401, "INVALID_CREDENTIALS").await?;
        let user = self.token_of(demo::USER.0, demo::USER.1).await?;
        self.http.get("/api/v1/users").token(&user).refused(403, "FORBIDDEN").await?;
        self.admin = self.token_of(demo::ADMIN.0, demo::ADMIN.1).await?;
        Ok(())
    }

    async fn token_of(&self, email: &str, password: &str) -> Result<String> {
        let login = json!({"email": email, "password": password});
        self.http.post("/api/v1/auth/login", &login).expect(200).await?.text("/accessToken")
    }

    async fn create_user(&mut self) -> Result {
        let email = format!("{}@example.com", sap_comm::id::prefixed("grace"));
        let input = json!({
            "email": email, "password": "correct horse", "roles": ["user"],
            "profile": {"firstName": "Grace", "lastName": "Hopper"},
        });
        let created = self.http.post("/api/v1/users", &input).token(&self.admin).expect(201).await?;
        self.user_id = created.text("/id")?;
        same("Location", &*format!("/api/v1/users/{}", self.user_id), created.header("location"))?;
        let found = self.http.get(created.header("location")).token(&self.admin).expect(200).await?;
        same("the user", &created.body, &found.body)?;
        self.http.post("/api/v1/users", &input).token(&self.admin).refused(409, "EMAIL_ALREADY_EXISTS").await?;
        let invalid = json!({"email": "nobody", "password": "short"});
        let refused =
            self.http.post("/api/v1/users", &invalid).token(&self.admin).refused(422, "VALIDATION_FAILED").await?;
        let fields = &refused.body["error"]["details"]["fields"];
        that("both fields named", fields["email"].is_array() && fields["password"].is_array(), fields)?;
        self.user = self.token_of(&email, "correct horse").await?;
        Ok(())
    }

    async fn profile(&mut self) -> Result {
        let path = format!("/api/v1/profiles/{}", self.user_id);
        let profile = eventually(async || self.http.get(&path).token(&self.user).expect(200).await).await?;
        same("first name", "Grace", &*profile.text("/firstName")?)
    }

    async fn pages(&mut self) -> Result {
        let page = self.http.get("/api/v1/users?page=1&limit=2").token(&self.admin).expect(200).await?;
        same("users on the page", Some(2), page.body["data"].as_array().map(Vec::len))?;
        that("three users or more", page.body["pagination"]["total"].as_u64() >= Some(3), &page.body["pagination"])?;
        let link = page.header("link");
        that("a link to the next page", link.contains("page=2&limit=2>; rel=\"next\""), link)?;
        self.http.get("/api/v1/users?page=0").token(&self.admin).refused(400, "INVALID_ARGUMENT").await.map(drop)
    }

    async fn graphql(&mut self) -> Result {
        let query = json!({
            "query": "query($id: ID!) { user(id: $id) { email profile { firstName lastName } } users(limit: 2) { id profile { firstName } } }",
            "variables": {"id": self.user_id},
        });
        let call = self.http.post("/graphql", &query).token(&self.admin);
        let answer = call.header("traceparent", &self.trace.traceparent()).expect(200).await?;
        same("errors", &Value::Null, &answer.body["errors"])?;
        same("profile", &json!({"firstName": "Grace", "lastName": "Hopper"}), &answer.body["data"]["user"]["profile"])?;
        same("users", Some(2), answer.body["data"]["users"].as_array().map(Vec::len))?;
        let query = json!({"query": "{ users { id } }"});
        let refused = self.http.post("/graphql", &query).token(&self.user).send().await?;
        same("the code of GraphQL's error", &json!("FORBIDDEN"), &refused.body["errors"][0]["extensions"]["code"])
    }

    async fn foreign_socket(&mut self) -> Result {
        match Socket::connect(self.cluster.gateway(), None).await {
            Ok(_) => Err("expected the socket to be refused, it was connected".into()),
            Err(error) => that("UNAUTHENTICATED", error.to_string().contains("UNAUTHENTICATED"), error.to_string()),
        }
    }

    async fn notification(&mut self) -> Result {
        let mut socket = Socket::connect(self.cluster.gateway(), Some(&self.user)).await?;
        for by_acknowledgement in [true, false] {
            self.publish_content("A new moon", &[&self.user_id]).await?;
            let event = socket.event().await?;
            same("the event", "notification", &*event.name)?;
            same("its type", &json!("content-published"), &event.argument["type"])?;
            let id = event.argument["id"].as_str().unwrap_or_default().to_owned();
            if by_acknowledgement {
                socket.acknowledge(&event, json!({"received": id})).await?;
            } else {
                socket.emit("read-notification", json!(id)).await?;
            }
            let path = format!("/api/v1/notifications/{id}");
            eventually(async || {
                let notification = self.http.get(&path).token(&self.user).expect(200).await?;
                same("status", "read", &*notification.text("/status")?)
            })
            .await?;
        }
        Ok(())
    }

    /// Drafts and publishes content as the administrator, under the trace of the story.
    async fn publish_content(&self, title: &str, audience: &[&str]) -> Result<String> {
        let draft = json!({"title": title, "body": "…", "audience": audience});
        let parent = self.trace.traceparent();
        let call = self.http.post("/api/v1/contents", &draft).token(&self.admin);
        let content = call.header("traceparent", &parent).expect(201).await?;
        let id = content.text("/id")?;
        let call = self.http.call("POST", &format!("/api/v1/contents/{id}/publish")).token(&self.admin);
        call.header("traceparent", &parent).expect(200).await?;
        Ok(id)
    }

    /// Nobody can be looked up by what is no id, so that the handler fails each time.
    async fn poison(&mut self) -> Result {
        let id = self.publish_content("Poison", &["no id"]).await?;
        let report = self
            .observer
            .find("event.processing.failed", |event| {
                event.event_type == "event.processing.failed" && event.data.get().contains(&id)
            })
            .await?;
        same("the source", "notification-service", &*report.source)?;
        let data: Value = serde_json::from_str(report.data.get())?;
        same("the original event", &json!("content.published"), &data["originalEvent"]["type"])?;
        same("the code", &json!("UNKNOWN_ERROR"), &data["error"]["code"])?;
        let letters = self.cluster.broker().dead_letters("content.events", "notification-service").peek(100).await?;
        let event_id = data["originalEvent"]["id"].as_str().unwrap_or_default();
        let letter = letters.iter().find(|letter| letter.id == event_id);
        let attempts = letter.map(|letter| letter.attempts);
        that("a dead letter after several attempts", attempts > Some(1), attempts)
    }

    async fn breaker(&mut self) -> Result {
        self.cluster.stop(ServiceName::Content).await?;
        let answer = eventually(async || {
            self.http.get("/api/v1/contents").token(&self.admin).refused(503, "CIRCUIT_OPEN").await
        })
        .await?;
        let seconds: u64 =
            answer.header("retry-after").parse().map_err(|_| "Retry-After is not a number of seconds")?;
        that("Retry-After of a second or more", seconds >= 1, seconds)?;
        self.http.get("/api/v1/notifications").token(&self.user).expect(200).await?;
        self.cluster.start(ServiceName::Content).await?;
        eventually(async || self.http.get("/api/v1/contents").token(&self.admin).expect(200).await).await.map(drop)
    }

    async fn trace(&mut self) -> Result {
        let id = self.trace.trace_id();
        let wanted = [
            ("REST at the gateway", "sap_comm_rest::gateway", "/api/v1/contents"),
            ("REST at the service", "sap_comm_rest::server", "/api/v1/contents"),
            ("the broker", "sap_comm_events", "content.published"),
            ("the socket", "sap_comm_ws", "notification"),
            ("GraphQL", "sap_comm_graphql", "query"),
        ];
        eventually(async || {
            let lines = self.log.find(&id);
            for (what, target, subject) in wanted {
                let found = lines.iter().any(|line| line.contains(target) && line.contains(subject));
                that(what, found, format!("{} lines with trace {id}", lines.len()))?;
            }
            Ok(())
        })
        .await
    }

    /// Guessing passwords is limited by the client's address.
    async fn rate_limit(&mut self) -> Result {
        let guess = json!({"email": demo::USER.0, "password": "guess"});
        for _ in 0..20 {
            let answer = self.http.post("/api/v1/auth/login", &guess).send().await?;
            if answer.status.as_u16() == 429 {
                same("the code", &json!("RATE_LIMITED"), &answer.body["error"]["code"])?;
                let seconds: u64 = answer.header("retry-after").parse().map_err(|_| "Retry-After is not a number")?;
                return that("Retry-After of a second or more", seconds >= 1, seconds);
            }
        }
        Err("expected 429 within 20 guesses".into())
    }
}

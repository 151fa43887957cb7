use std::time::Duration;

use sap_comm_examples::smoke::http::Http;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::program::{admin_token, eventually};

/// Profiles and notifications are made from events.
const BOUND: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);
const PASSWORD: &str = "a-long-password";

/// What there is to ask for.
pub(super) struct Subjects {
    /// Of an administrator for each service.
    pub(super) tokens: Vec<String>,
    /// By method and path.
    examples: Vec<(&'static str, &'static str, Examples)>,
}

/// Of parameters, by name, and of the body.
type Examples = Vec<(&'static str, Value)>;

/// The body among the examples of parameters.
const BODY: &str = "body";

impl Subjects {
    /// Makes users, content and keys, one for each operation that ends its subject.
    pub(super) async fn prepare(http: &Http) -> Self {
        let first = admin_token(http).await;
        let post = async |path: &str, body: Value| -> Value {
            let made = http.post(path, &body).token(&first).send().await.unwrap();
            assert!(made.status.is_success(), "{path}: {}", made.body);
            made.body
        };
        let user = async |name: &str| {
            let email = format!("{name}@example.com");
            let made = post("/api/v1/users", json!({"email": email, "password": PASSWORD, "roles": ["admin"]})).await;
            (made["id"].clone(), json!({"email": email, "password": PASSWORD}))
        };
        let content = async |audience: Value| {
            post("/api/v1/contents", json!({"title": "t", "body": "b", "audience": audience})).await["id"].clone()
        };
        let mut tokens = Vec::new();
        let mut ids = Vec::new();
        for number in 0..4 {
            let (id, login) = user(&format!("admin{number}")).await;
            let token =
                http.post("/api/v1/auth/login", &login).expect(200).await.unwrap().text("/accessToken").unwrap();
            tokens.push(token);
            ids.push(id);
        }
        let ((kept, login), (deleted, _)) = (user("kept").await, user("deleted").await);
        let refresh = post("/api/v1/auth/login", login.clone()).await["refreshToken"].clone();
        let key = post("/api/v1/api-keys", json!({"owner": "report-service", "scopes": []})).await["prefix"].clone();
        let (draft, read) = (content(json!([])).await, content(json!(ids)).await);
        let publish = format!("/api/v1/contents/{}/publish", read.as_str().unwrap());
        http.call("POST", &publish).token(&first).expect(200).await.unwrap();
        let profile = format!("/api/v1/profiles/{}", kept.as_str().unwrap());
        eventually(Instant::now() + BOUND, PAUSE, async || {
            http.get(&profile).token(&first).expect(200).await.map_err(|error| error.to_string())
        })
        .await;
        // Notifications are asked for with the last token, in the order of the services.
        let notification = eventually(Instant::now() + BOUND, PAUSE, async || {
            let list = http.get("/api/v1/notifications").token(&tokens[3]).expect(200).await;
            let list = list.map_err(|error| error.to_string())?.body;
            list["data"][0]["id"].as_str().map(|id| json!(id)).ok_or_else(|| list.to_string())
        })
        .await;
        let examples = vec![
            ("post", "/api/v1/auth/login", vec![(BODY, login)]),
            ("post", "/api/v1/auth/refresh", vec![(BODY, json!({"refreshToken": refresh}))]),
            ("delete", "/api/v1/api-keys/{prefix}", vec![("prefix", key)]),
            ("get", "/api/v1/users/{id}", vec![("id", kept.clone())]),
            (
                "put",
                "/api/v1/users/{id}",
                vec![("id", kept.clone()), ("If-Match", json!("*")), (BODY, json!({"roles": ["user"]}))],
            ),
            ("delete", "/api/v1/users/{id}", vec![("id", deleted), ("If-Match", json!("*"))]),
            ("get", "/api/v1/profiles", vec![("userIds", kept.clone())]),
            ("get", "/api/v1/profiles/{user_id}", vec![("user_id", kept)]),
            ("get", "/api/v1/contents/{id}", vec![("id", draft.clone())]),
            ("post", "/api/v1/contents/{id}/publish", vec![("id", draft)]),
            ("get", "/api/v1/notifications/{id}", vec![("id", notification.clone())]),
            ("post", "/api/v1/notifications/{id}/read", vec![("id", notification)]),
        ];
        Self { tokens, examples }
    }

    /// The document with these as its examples.
    pub(super) fn shown_in(&self, mut document: Value) -> Value {
        for (method, path, examples) in &self.examples {
            let operation = document["paths"].get_mut(*path).and_then(|operations| operations.get_mut(*method));
            let Some(operation) = operation else { continue };
            for (name, example) in examples {
                if *name == BODY {
                    operation["requestBody"]["content"]["application/json"]["example"] = example.clone();
                    continue;
                }
                let parameters = operation["parameters"].as_array_mut().into_iter().flatten();
                for parameter in parameters.filter(|parameter| parameter["name"] == *name) {
                    parameter["example"] = example.clone();
                    if let Some(schema) = parameter["schema"].as_object_mut() {
                        schema.remove("examples");
                    }
                }
            }
        }
        document
    }
}

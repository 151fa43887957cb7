//! A service in forty lines: REST routes, a typed event consumed, another published, health, drain on Ctrl-C.

use axum::{Router, routing::post};
use sap_comm::{
    ApiError, BoxError, Event, EventPayload, Service,
    events::{Broker, BrokerConfig, EventRouter},
    id,
    rest::server::{Created, Json},
};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, EventPayload)]
#[event(type = "user.created")]
#[serde(rename_all = "camelCase")]
struct UserCreated {
    user_id: String,
    email: String,
}

#[derive(Serialize, Deserialize)]
struct NewUser {
    email: String,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let broker = Broker::connect("memory://", BrokerConfig::new("user-service")).await?;

    let events = EventRouter::new().on(|event: Event<UserCreated>| async move {
        println!("profile of {} made, caused by {}", event.data.email, event.correlation_id);
        Ok(())
    });
    let publisher = broker.clone();
    let create = move |Json(user): Json<NewUser>| async move {
        let user_id = id::prefixed("usr");
        let location = format!("/api/v1/users/{user_id}");
        publisher.publish("user.events", UserCreated { user_id, email: user.email.clone() }).await?;
        Ok::<_, ApiError>(Created::at(location, user))
    };
    Service::builder("user-service")
        .listen(([127, 0, 0, 1], 3001).into())
        .broker(&broker)
        .subscribe("user.events", events)
        .routes(Router::new().route("/api/v1/users", post(create)))
        .build()?
        .run()
        .await?;
    Ok(())
}

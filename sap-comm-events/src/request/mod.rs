//! Commands that are answered.

mod error;
mod replies;

use std::time::Duration;

use sap_comm_core::{ApiError, Context, ErrorEnvelope, Event, EventKind, EventPayload, Timestamp};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::{Instant, timeout_at};

pub use error::RequestError;
pub(crate) use replies::Replies;

use crate::{Broker, PublishOptions, backend::FAR, message::Message};

/// A command that is answered, and with what.
///
/// ```
/// use sap_comm_core::EventPayload;
/// use sap_comm_events::Request;
///
/// #[derive(serde::Serialize, serde::Deserialize, EventPayload)]
/// #[event(type = "price.quote", kind = "command")]
/// struct QuotePrice {
///     article: String,
/// }
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Price {
///     cents: u64,
/// }
///
/// impl Request for QuotePrice {
///     type Reply = Price;
/// }
/// ```
pub trait Request: EventPayload {
    /// The answer. `()` for a command that is only done.
    type Reply: Serialize + DeserializeOwned + Send + 'static;
}

/// Where to answer a request, and until when.
#[derive(Debug, Clone)]
pub(crate) struct ReturnAddress {
    pub(crate) queue: String,
    pub(crate) deadline: Timestamp,
}

impl Broker {
    /// Sends a command and waits for its handler's answer, for `timeout` at most or until the context's deadline; for 30 days
    /// where both are further off.
    ///
    /// The deadline goes with the command: one that is still in its queue by then is not handled any more, but is a dead letter
    /// with the code `DEADLINE_EXCEEDED`. It is a point in time, so the clocks of both services must agree. Connections that are
    /// lost meanwhile are made again and the answer still arrives, if it does before the deadline. An answer that nobody waits
    /// for is dropped.
    ///
    /// Dropping the future stops the waiting, not the command.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sap_comm_core::{ApiError, Event, EventPayload};
    /// use sap_comm_events::{Broker, BrokerConfig, EventRouter, Request, RequestError};
    ///
    /// #[derive(serde::Serialize, serde::Deserialize, EventPayload)]
    /// #[event(type = "price.quote", kind = "command")]
    /// struct QuotePrice {
    ///     article: String,
    /// }
    ///
    /// impl Request for QuotePrice {
    ///     type Reply = u64;
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let broker = Broker::connect("memory://", BrokerConfig::new("price-service")).await?;
    /// let router = EventRouter::new().on_request(|command: Event<QuotePrice>| async move {
    ///     match command.data.article.as_str() {
    ///         "art_1" => Ok(1_999),
    ///         other => Err(ApiError::not_found("article", other)),
    ///     }
    /// });
    /// let subscription = broker.subscribe("price.events", router).await?;
    ///
    /// let limit = Duration::from_secs(5);
    /// let cents = broker.request("price.events", QuotePrice { article: "art_1".into() }, limit).await?;
    /// assert_eq!(cents, 1_999);
    /// let error = broker.request("price.events", QuotePrice { article: "art_2".into() }, limit).await.unwrap_err();
    /// assert!(matches!(error, RequestError::Failed(error) if error.code().as_str() == "ARTICLE_NOT_FOUND"));
    /// # subscription.stop().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`RequestError`]: it says whether the command may have been handled.
    pub async fn request<C: Request>(
        &self,
        exchange: &str,
        command: C,
        timeout: Duration,
    ) -> Result<C::Reply, RequestError> {
        const { assert!(matches!(C::KIND, EventKind::Command), "a request is a command: add kind = \"command\"") };
        let context = Context::current().with_timeout(timeout);
        let started = Instant::now();
        let limit = context.remaining().unwrap_or(FAR);
        let by = context.deadline().unwrap_or_else(|| started + FAR);
        let replies = match timeout_at(by, self.replies().open(self)).await {
            Ok(replies) => replies?,
            Err(_) => return Err(RequestError::NotSent { waited: started.elapsed() }),
        };
        let event = context.clone().sync_scope(|| Event::new(self.service(), command));
        let mut ticket = replies.expect(&event.id)?;
        let address =
            ReturnAddress { queue: replies.queue().to_owned(), deadline: Timestamp::now().saturating_add(limit) };
        let options = PublishOptions::new().deadline(limit).answer_to(address);
        let mut publishing = std::pin::pin!(context.scope(self.publish_event_with(exchange, &event, options)));
        let reply = tokio::select! {
            biased;
            // An answer may overtake the broker's confirm.
            reply = ticket.reply() => reply,
            published = &mut publishing => {
                published?;
                match timeout_at(by, ticket.reply()).await {
                    Ok(reply) => reply,
                    Err(_) => return Err(RequestError::Timeout { id: event.id.clone(), waited: started.elapsed() }),
                }
            }
        };
        match reply {
            Some(message) => read::<C>(&message),
            None => Err(RequestError::Closed { id: event.id.clone() }),
        }
    }
}

/// The reply in a message: an event whose `data` it is, or an error envelope.
fn read<C: Request>(message: &Message) -> Result<C::Reply, RequestError> {
    let invalid =
        |error: &dyn std::fmt::Display| RequestError::Reply { id: message.id.clone(), reason: error.to_string() };
    if let Ok(envelope) = serde_json::from_slice::<ErrorEnvelope>(message.body()) {
        let status = envelope.error.code.status();
        return Err(RequestError::Failed(ApiError::from_envelope(envelope, status)));
    }
    let event = message.event().map_err(|error| invalid(&error))?;
    serde_json::from_str(event.data.get()).map_err(|error| invalid(&error))
}

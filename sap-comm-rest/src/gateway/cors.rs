use std::{convert::Infallible, sync::Arc};

use http::{Request, Response, header};
use sap_comm_core::Context;
use tower::{ServiceExt, service_fn};
use tower_layer::Layer;

use super::{
    RequestBody, ResponseBody, answer,
    client::{Client, Peer},
    live::Live,
    outbound::read_context,
    record::Record,
    service::Inner,
    spread::Held,
};
use crate::server::{CorsLayer, is_preflight};

/// What services say of other origins, where the gateway does.
const OF_SERVICES: [header::HeaderName; 6] = [
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
];

/// Answers a browser's question, under an id and with a line in the log as any request; or says on the answer that `handle` gives who
/// may read it. Questions are not counted: they reach no service, and the quotas of a page's users are not those of their address.
pub(super) async fn answer<F: Future<Output = Response<ResponseBody>>>(
    gateway: &Inner,
    live: Arc<Held<Live>>,
    layer: &CorsLayer,
    peer: Option<Peer>,
    request: Request<RequestBody>,
    handle: impl FnOnce(Arc<Held<Live>>, Option<Peer>, Request<RequestBody>) -> F,
) -> Response<ResponseBody> {
    if !is_preflight(request.method(), request.headers()) {
        return ask(layer, request, |request| handle(live, peer, request)).await;
    }
    let (parts, body) = request.into_parts();
    let context = Context::try_current().unwrap_or_else(|| read_context(&parts.headers));
    let mut record = Record::begin(gateway, &parts, &context);
    record.is_of(&Client::read(&parts.headers, peer.clone(), None, &live.proxies, live.scheme));
    let handle = |request| handle(live, peer, request);
    let mut response = ask(layer, Request::from_parts(parts, body), handle).await;
    answer::finish(&mut response, &record);
    record.end(response.status(), None);
    response
}

async fn ask<F: Future<Output = Response<ResponseBody>>>(
    layer: &CorsLayer,
    request: Request<RequestBody>,
    handle: impl FnOnce(Request<RequestBody>) -> F,
) -> Response<ResponseBody> {
    let mut handle = Some(handle);
    let service = service_fn(|request| {
        let handled = handle.take().map(|handle| handle(request));
        async move {
            let mut response = match handled {
                Some(handled) => handled.await,
                // It is called once.
                None => Response::default(),
            };
            OF_SERVICES.iter().for_each(|name| drop(response.headers_mut().remove(name)));
            Ok::<_, Infallible>(response)
        }
    });
    match layer.layer(service).oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

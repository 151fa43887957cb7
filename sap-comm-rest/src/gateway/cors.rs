use std::convert::Infallible;

use http::{Request, Response, header};
use tower::{ServiceExt, service_fn};
use tower_http::cors::CorsLayer;
use tower_layer::Layer;

use super::{RequestBody, ResponseBody};

/// What services say of other origins, where the gateway does.
const OF_SERVICES: [header::HeaderName; 6] = [
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
];

/// Answers a browser's question, or says on the answer that `handle` gives who may read it.
pub(super) async fn answer<F: Future<Output = Response<ResponseBody>>>(
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

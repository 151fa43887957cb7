//! A service that hangs, and the others.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::Router;
use sap_comm_rest::{
    gateway::{Gateway, GatewayConfig, Route},
    server::ServerConfig,
};
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::Semaphore};

use super::support::{
    Wire, echo, get, raw_upstream, read_head, resolver, serve, serve_by, serve_impatiently, to, upstream, within,
};

#[tokio::test]
async fn a_service_that_hangs_takes_its_share_and_nothing_of_the_others() {
    const SHARE: usize = 16;
    let (arrived, free) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (tell, wait) = (Arc::clone(&arrived), Arc::clone(&free));
    let hung = upstream(Router::new().fallback(async move || {
        tell.add_permits(1);
        let _ = wait.acquire().await.map(tokio::sync::SemaphorePermit::forget);
        "at last"
    }));
    let (hung, sound) = (hung.await, upstream(echo()).await);
    let mut config = GatewayConfig::default();
    config.rate_limit = None;
    config.upstream.max_in_flight = SHARE;
    let gateway = Gateway::builder()
        .config(config)
        .resolver(resolver(&[("hung", &[&hung]), ("sound", &[&sound])]))
        .route(Route::new("/hung").to("hung").public().timeout(Duration::from_secs(600)))
        .route(Route::new("/sound").to("sound").public())
        .build()
        .unwrap();
    let edge = serve(gateway.clone()).await;
    let mut waiting = Vec::new();
    for _ in 0..SHARE {
        let mut wire = Wire::open(&edge).await;
        wire.write("GET /hung HTTP/1.1\r\nHost: a\r\n\r\n").await;
        within(arrived.acquire()).await.unwrap().forget();
        waiting.push(wire);
    }
    for _ in 0..10 {
        let refused = get(&edge, "/hung").await;
        assert_eq!((refused.status, refused.code().as_str()), (503, "OVERLOADED"));
        assert!(refused.header("retry-after").is_some());
        assert_eq!(get(&edge, "/sound").await.status, 200);
    }
    let in_flight: Vec<_> = gateway.snapshot().upstreams.iter().map(|upstream| upstream.in_flight).collect();
    assert_eq!(in_flight, [SHARE, 0]);
    free.add_permits(SHARE);
    for mut wire in waiting {
        assert_eq!(wire.answer().await.body, b"at last");
    }
    free.add_permits(1);
    assert_eq!(get(&edge, "/hung").await.status, 200, "its share is free again");
}

#[tokio::test]
async fn a_client_that_goes_gives_its_place_back() {
    let arrived = Arc::new(Semaphore::new(0));
    let tell = Arc::clone(&arrived);
    let hung = upstream(Router::new().fallback(async move || {
        tell.add_permits(1);
        std::future::pending::<&'static str>().await
    }));
    let hung = hung.await;
    let mut config = GatewayConfig::default();
    config.upstream.max_in_flight = 1;
    let gateway = Gateway::builder()
        .config(config)
        .resolver(resolver(&[("hung", &[&hung])]))
        .route(Route::new("/").to("hung").public())
        .build()
        .unwrap();
    let edge = serve_impatiently(gateway.clone()).await;
    for _ in 0..3 {
        let mut wire = Wire::open(&edge).await;
        wire.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        within(arrived.acquire()).await.unwrap().forget();
        drop(wire);
        let left = async {
            while gateway.snapshot().upstreams[0].in_flight > 0 {
                tokio::task::yield_now().await;
            }
        };
        within(left).await;
    }
}

#[tokio::test]
async fn runtimes_share_no_connection() {
    let opened = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&opened);
    let serve_all = move |mut stream: TcpStream, _| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            while !read_head(&mut stream).await.is_empty() {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
            }
        }
    };
    let service = raw_upstream(serve_all).await;
    let gateway = to(&service).build().unwrap();
    let mut config = ServerConfig::default();
    config.workers = 1;
    let on_workers = [serve_by(gateway.clone(), config.clone()).await, serve_by(gateway.clone(), config).await];
    let here = serve(gateway).await;
    for _ in 0..2 {
        for edge in on_workers.iter().chain([&here]) {
            assert_eq!(get(edge, "/api").await.body, b"ok");
        }
    }
    assert_eq!(opened.load(Ordering::SeqCst), 3, "a connection ends with the runtime that it was made on");
}

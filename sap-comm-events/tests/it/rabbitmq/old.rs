//! A broker that is older than what is asked of it.

use sap_comm_events::{Broker, StreamOffset, SubscribeError, Subscription};
use sap_comm_testkit::RabbitNode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf},
};

use super::{config, numbers, soon, vhost};
use crate::events::UserCreated;

/// The first frame, `connection.start`.
async fn first_frame(from: &mut OwnedReadHalf) -> Vec<u8> {
    let mut frame = vec![0; 7];
    from.read_exact(&mut frame).await.unwrap();
    let length = u32::from_be_bytes(frame[3..].try_into().unwrap()) as usize;
    frame.resize(7 + length + 1, 0);
    from.read_exact(&mut frame[7..]).await.unwrap();
    frame
}

/// A port where the shared node says that it is version 3.7.
async fn older() -> u16 {
    let node = RabbitNode::shared().await.unwrap();
    let version = node.eval("{ok, V} = application:get_key(rabbit, vsn), V").await.unwrap();
    let version = version.trim_matches(|c: char| !c.is_ascii_digit()).as_bytes().to_vec();
    // As long as the other, so that no length changes.
    let older = [b"3.7.".as_slice(), &b"9".repeat(version.len() - 4)].concat();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, port) = (listener.local_addr().unwrap(), node.port());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (version, older) = (version.clone(), older.clone());
            tokio::spawn(async move {
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) =
                    TcpStream::connect(("127.0.0.1", port)).await.unwrap().into_split();
                let upwards = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
                let mut start = first_frame(&mut from_server).await;
                let at = start.windows(version.len()).position(|text| text == version).unwrap();
                start[at..at + older.len()].copy_from_slice(&older);
                // Whoever only asked has hung up.
                let _ = to_client.write_all(&start).await;
                let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
                upwards.abort();
            });
        }
    });
    address.port()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_too_old_for_quorum_queues_or_streams_is_named_with_its_version() {
    let node = RabbitNode::shared().await.unwrap();
    let uri = vhost().await.replace(&format!(":{}/", node.port()), &format!(":{}/", older().await));
    let broker = soon(Broker::connect(&uri, config())).await.unwrap();
    let (router, _numbers) = numbers();
    let error = soon(broker.subscribe(Subscription::new("user.events").quorum(), router)).await.unwrap_err();
    assert!(
        matches!(&error, SubscribeError::Unsupported { needs, version, .. } if needs == "3.10.0" && version.starts_with("3.7.9")),
        "{error:?}"
    );
    let (router, _numbers) = numbers();
    let stream = Subscription::new("user.events").stream(StreamOffset::First);
    let error = soon(broker.subscribe(stream, router)).await.unwrap_err();
    assert!(
        matches!(&error, SubscribeError::Unsupported { feature: "streams", needs, .. } if needs == "3.9.0"),
        "{error:?}"
    );
    let (router, _numbers) = numbers();
    let uncounted = soon(Broker::connect(&uri, config().count_redeliveries(false))).await.unwrap();
    let error = soon(uncounted.subscribe(Subscription::new("user.events").single_active(), router)).await.unwrap_err();
    assert!(matches!(&error, SubscribeError::Unsupported { needs, .. } if needs == "3.8.0"), "{error:?}");
    // What every version has works.
    let (router, mut handled) = numbers();
    let _handle = soon(broker.subscribe("user.events", router)).await.unwrap();
    soon(broker.publish("user.events", UserCreated::numbered(1))).await.unwrap();
    assert_eq!(soon(handled.recv()).await, Some(1));
}

//! Several addresses: where one is gone, another is used.

use hookgate::publisher::open;
use hookgate::shutdown::Drain;

use super::{EXCHANGE, id, settings, until_ready};
use crate::support::proxy::Proxy;
use crate::support::rabbit::Broker;
use crate::support::{signal, until};

#[tokio::test]
async fn when_the_broker_in_use_goes_away_the_next_address_is_used_and_later_the_first_again() {
    let vhost = Broker::shared().await.vhost().await;
    let mut inbox = vhost.inbox_of(EXCHANGE).await;
    let proxies = [
        Proxy::to(vhost.broker.port()).await,
        Proxy::to(vhost.broker.port()).await,
    ];
    proxies[1].cut();
    let addresses = proxies.iter().map(|proxy| vhost.address_at(proxy.port()));
    let publisher = open(&settings(addresses.collect()), &Drain::new())
        .await
        .unwrap();
    for (turn, [here, there]) in [[0, 1], [1, 0], [0, 1]].into_iter().enumerate() {
        proxies[here].mend();
        until_ready(&publisher, true).await;
        let signal = signal("stripe", &turn.to_string());
        until("it is published", async || {
            publisher.publish(&signal).await.is_ok()
        })
        .await;
        assert_eq!(id(&inbox.next().await), signal.signalid.to_string());
        // Only one of them leads anywhere, so it was this one.
        let findings = publisher.probe().await.unwrap();
        let port = proxies[here].port().to_string();
        assert!(findings[0].contains(&port), "{findings:?}");

        proxies[here].cut();
        until_ready(&publisher, false).await;
        proxies[there].mend();
    }
}

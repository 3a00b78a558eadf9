//! Publishing over TLS, with an authority of one's own and a certificate of one's own.

use std::sync::Arc;

use hookgate::config::{Config, ProcessEnvironment};
use hookgate::publisher::{Publisher, open};
use hookgate::shutdown::Drain;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{EXCHANGE, failure, id};
use crate::support::pki::Pki;
use crate::support::rabbit::{Broker, Vhost};
use crate::support::{DEADLINE, signal, until};

/// Opens the publisher of a configuration whose files are those of `pki`.
async fn configured(pki: &Pki, port: u16, vhost: &str, files: &str) -> Arc<dyn Publisher> {
    let text = format!(
        "allow_inline_secrets = true\n[publisher]\n\
         url = \"amqps://guest:guest@localhost:{port}/{vhost}\"\n{files}"
    );
    let dir = pki.file("");
    let config = Config::parse(&text, "test", &dir, &ProcessEnvironment);
    let config = config.unwrap_or_else(|problems| panic!("{problems}"));
    open(&config.publisher, &Drain::new()).await.unwrap()
}

const CA: &str = "ca_file = \"ca.pem\"\n";
const CLIENT: &str = "client_cert_file = \"client.pem\"\nclient_key_file = \"client.key\"\n";

async fn on_broker(vhost: &Vhost<'_>, files: &str) -> Arc<dyn Publisher> {
    let broker = vhost.broker;
    configured(broker.pki(), broker.tls_port(), &vhost.name, files).await
}

#[tokio::test]
async fn a_broker_with_an_authority_of_its_own_is_reached_with_a_certificate() {
    let vhost = Broker::shared().await.vhost().await;
    let mut inbox = vhost.inbox_of(EXCHANGE).await;
    let publisher = on_broker(&vhost, &format!("{CA}{CLIENT}")).await;
    publisher.probe().await.unwrap();
    for n in 0..100 {
        let signal = signal("stripe", &n.to_string());
        publisher.publish(&signal).await.unwrap();
        assert_eq!(id(&inbox.next().await), signal.signalid.to_string());
    }
    publisher.close().await;
}

#[tokio::test]
async fn a_broker_that_asks_for_a_certificate_is_not_reached_without_one() {
    let vhost = Broker::shared().await.vhost().await;
    let _inbox = vhost.inbox_of(EXCHANGE).await;
    let publisher = on_broker(&vhost, CA).await;
    let why = publisher.probe().await.unwrap_err().to_string();
    assert!(why.contains("cannot connect"), "{why}");
}

#[tokio::test]
async fn a_broker_that_no_trusted_authority_vouches_for_is_not_reached() {
    let vhost = Broker::shared().await.vhost().await;
    let _inbox = vhost.inbox_of(EXCHANGE).await;
    let other = tempfile::tempdir().unwrap();
    let other = Pki::write(other.path());
    let other = format!("ca_file = {:?}\n", other.file("ca.pem"));
    // Neither by the public ones, nor by another of one's own.
    for ca in ["", &other] {
        let publisher = on_broker(&vhost, &format!("{ca}{CLIENT}")).await;
        let why = publisher.probe().await.unwrap_err().to_string();
        assert!(why.contains("invalid peer certificate"), "{why}");
    }
}

#[tokio::test]
async fn a_broker_that_never_answers_through_tls_is_given_up_and_leaves_no_connection() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::write(dir.path());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let publisher = configured(&pki, port, "", CA).await;
    let (peer, _) = listener.accept().await.unwrap();
    let mut peer = acceptor(&pki).accept(peer).await.unwrap();

    let mut greeting = [0; 8];
    peer.read_exact(&mut greeting).await.unwrap();
    assert_eq!(&greeting, b"AMQP\x00\x00\x09\x01");
    // Cut, with or without a goodbye of TLS.
    let ended = tokio::time::timeout(DEADLINE, peer.read_u8()).await;
    assert!(ended.expect("the gateway hangs up").is_err());
    until("the reason is told", async || {
        failure(&publisher, &signal("stripe", "1"))
            .await
            .contains("timed out")
    })
    .await;
}

fn acceptor(pki: &Pki) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificate = CertificateDer::from_pem_file(pki.file("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(pki.file("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

#[test]
fn files_that_tls_cannot_use_are_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::write(dir.path());
    let problems = |files: &str| {
        let text = format!("[publisher]\nurl = \"amqps://localhost\"\n{files}");
        let config = Config::parse(&text, "test", &pki.file(""), &ProcessEnvironment);
        config.unwrap_err().to_string()
    };
    for (files, wanted) in [
        ("ca_file = \"none.pem\"\n", "`ca_file`: cannot be read"),
        ("ca_file = \"client.key\"\n", "`ca_file`: no certificates"),
        (
            "client_cert_file = \"client.pem\"\n",
            "of no use without `client_key_file`",
        ),
        (
            "client_key_file = \"client.key\"\n",
            "of no use without `client_cert_file`",
        ),
        (
            "client_cert_file = \"client.pem\"\nclient_key_file = \"server.key\"\n",
            "`client_cert_file`: a certificate or its key cannot be used",
        ),
        (
            "client_cert_file = \"client.pem\"\nclient_key_file = \"ca.pem\"\n",
            "the key in PEM cannot be read",
        ),
    ] {
        let told = problems(files);
        assert!(told.contains(wanted), "{files}: {told}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    let text = format!("[publisher]\nurl = \"amqp://localhost\"\n{CA}");
    let config = Config::parse(&text, "test", &pki.file(""), &ProcessEnvironment).unwrap();
    let told = config.warnings.iter().any(|one| one.contains("amqps:"));
    assert!(told, "{:?}", config.warnings);
    assert!(!format!("{:?}", config.publisher).contains("PRIVATE KEY"));
}

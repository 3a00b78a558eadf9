//! A server for the tests: one authority, one certificate, one answer at a time.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::HOSTS;
use crate::keys::{KeyCache, Settings};
use crate::shutdown::Drain;

/// An HTTPS server that answers what it is told and counts what it is asked.
pub(in crate::keys) struct Server {
    place: SocketAddr,
    ca: CertificateDer<'static>,
    answer: Arc<Mutex<Vec<u8>>>,
    asked: watch::Receiver<Vec<String>>,
    /// Each answer takes one.
    pub(in crate::keys) gate: Arc<Semaphore>,
    pub(in crate::keys) drain: Drain,
}

impl Server {
    pub(in crate::keys) async fn start() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(HOSTS.map(String::from)).unwrap();
        let leaf = leaf.signed_by(&key, &ca).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = listener.local_addr().unwrap();
        let (asking, asked) = watch::channel(Vec::new());
        let (answer, gate) = (
            Arc::new(Mutex::new(Vec::new())),
            Arc::new(Semaphore::new(1000)),
        );
        let (tls, drain) = (TlsAcceptor::from(Arc::new(config)), Drain::new());
        let (answers, gates, tasks) = (answer.clone(), gate.clone(), drain.clone());
        drain.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, gate) = (tls.clone(), gates.clone());
                let (answer, asking) = (answers.clone(), asking.clone());
                tasks.spawn(serve(tls, stream, asking, gate, answer));
            }
        });
        let server = Self {
            place,
            ca: ca.der().clone(),
            answer,
            asked,
            gate,
            drain,
        };
        server.answers("200 OK", "", "one");
        server
    }

    /// Says what is answered from now on.
    pub(in crate::keys) fn answers(&self, status: &str, fields: &str, body: &str) {
        let length = body.len();
        let text = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{fields}\r\n{body}");
        self.answers_bytes(text.as_bytes());
    }

    pub(in crate::keys) fn answers_bytes(&self, answer: &[u8]) {
        *self.answer.lock().unwrap() = answer.to_vec();
    }

    pub(in crate::keys) fn hits(&self) -> usize {
        self.asked.borrow().len()
    }

    pub(in crate::keys) fn asked(&self) -> String {
        self.asked.borrow().last().cloned().unwrap_or_default()
    }

    /// Waits until it was asked so often.
    pub(in crate::keys) async fn asked_times(&self, times: usize) {
        let mut asked = self.asked.clone();
        let enough = asked.wait_for(|asked| asked.len() >= times);
        tokio::time::timeout(Duration::from_secs(30), enough)
            .await
            .unwrap()
            .unwrap();
    }

    pub(in crate::keys) fn settings(&self) -> Settings {
        let places = [HOSTS[0], HOSTS[1], "wrong.example.com"]
            .map(|host| (host.to_owned(), vec![self.place]));
        Settings {
            extra_ca: vec![self.ca.clone()],
            allow_private: true,
            // The machines of tests can be slow.
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(30),
            places: places.into(),
        }
    }

    pub(in crate::keys) fn keys(&self) -> KeyCache<String> {
        KeyCache::new(self.settings(), self.drain.clone()).unwrap()
    }
}

async fn serve(
    tls: TlsAcceptor,
    stream: TcpStream,
    asking: watch::Sender<Vec<String>>,
    gate: Arc<Semaphore>,
    answer: Arc<Mutex<Vec<u8>>>,
) -> Option<()> {
    let mut stream = tls.accept(stream).await.ok()?;
    let (mut asked, mut some) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream
            .read(&mut some)
            .await
            .ok()
            .filter(|count| *count > 0)?;
        asked.extend_from_slice(&some[..count]);
        let text = String::from_utf8_lossy(&asked);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        if !head.is_empty() && body.len() >= length {
            break;
        }
    }
    asking.send_modify(|all| all.push(String::from_utf8_lossy(&asked).into_owned()));
    gate.acquire().await.ok()?.forget();
    let answer = answer.lock().unwrap().clone();
    stream.write_all(&answer).await.ok()?;
    stream.shutdown().await.ok()
}

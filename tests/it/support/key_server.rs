//! A vendor's key server: HTTPS on a free port under the names that a test gives it, with a
//! certificate of an authority of its own. It publishes what it is told, and remembers what it was
//! asked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// The authority's certificate, beside a gateway's configuration.
const CA_FILE: &str = "authority.pem";

type Published = Arc<Mutex<BTreeMap<String, (u16, String)>>>;

/// The server. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct KeyServer {
    hosts: Vec<String>,
    place: SocketAddr,
    authority: String,
    published: Published,
    asked: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl KeyServer {
    /// Starts a server that publishes nothing yet.
    pub(crate) async fn start(hosts: &[impl AsRef<str>]) -> Self {
        let hosts: Vec<String> = hosts.iter().map(|host| host.as_ref().to_owned()).collect();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(hosts.clone()).unwrap();
        let leaf = leaf.signed_by(&key, &authority).unwrap();
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
        let (published, asked) = (Published::default(), Arc::new(Mutex::new(Vec::new())));
        let connections = Arc::new(AtomicUsize::new(0));
        let tls = TlsAcceptor::from(Arc::new(config));
        let (answers, questions, count) = (published.clone(), asked.clone(), connections.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connected = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let (answers, questions) = (answers.clone(), questions.clone());
                connected.spawn(serve(tls.clone(), stream, answers, questions));
            }
        });
        let pem = STANDARD.encode(authority.der());
        Self {
            hosts,
            place,
            authority: format!("-----BEGIN CERTIFICATE-----\n{pem}\n-----END CERTIFICATE-----\n"),
            published,
            asked,
            connections,
            _tasks: tasks,
        }
    }

    /// Publishes a document from now on.
    pub(crate) fn publishes(&self, url: &str, document: &str) {
        self.answers(url, 200, document);
    }

    /// Answers like this from now on. Where it says nothing, it answers 404.
    pub(crate) fn answers(&self, url: &str, status: u16, document: &str) {
        let mut published = self.published.lock().unwrap();
        published.insert(url.to_owned(), (status, document.to_owned()));
    }

    /// Returns everything that it was asked: the heads and bodies of requests.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Returns how many connections were made to it.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Makes a directory for a gateway that trusts the server's authority.
    pub(crate) fn dir(&self) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(CA_FILE), &self.authority).unwrap();
        dir
    }

    /// Writes the section of a gateway that finds the server under its names, and may.
    pub(crate) fn section(&self) -> String {
        format!(
            "{}allow_private = true\n",
            self.section_for_public_addresses()
        )
    }

    /// Writes the section of a gateway that finds the server and does not trust its address.
    pub(crate) fn section_for_public_addresses(&self) -> String {
        let resolve = |host: &String| format!("\"{host}\" = \"{}\"", self.place);
        let resolve: Vec<String> = self.hosts.iter().map(resolve).collect();
        let resolve = resolve.join(", ");
        format!("[keys]\nca_file = \"{CA_FILE}\"\nresolve = {{ {resolve} }}\n")
    }
}

/// Answers one request, after which the connection ends.
async fn serve(
    tls: TlsAcceptor,
    stream: TcpStream,
    published: Published,
    asked: Arc<Mutex<Vec<String>>>,
) -> Option<()> {
    let mut stream = tls.accept(stream).await.ok()?;
    let (mut received, mut some) = (Vec::new(), [0; 4096]);
    let text = loop {
        let count = stream.read(&mut some).await.ok()?;
        received.extend_from_slice(&some[..count]);
        let text = String::from_utf8_lossy(&received);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
        let length = field(head, "content-length").parse().unwrap_or(0);
        if count == 0 || (!head.is_empty() && body.len() >= length) {
            break text.into_owned();
        }
    };
    let target = text.split(' ').nth(1)?;
    let path = target.split('?').next()?;
    let url = format!("https://{}{path}", field(&text, "host"));
    asked.lock().unwrap().push(text);
    let answer = published.lock().unwrap().get(&url).cloned();
    let (status, body) = answer.unwrap_or((404, String::new()));
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} .\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    stream
        .write_all(format!("{head}{body}").as_bytes())
        .await
        .ok()?;
    stream.shutdown().await.ok()
}

/// Returns a header's value; empty where it is absent.
fn field<'h>(head: &'h str, name: &str) -> &'h str {
    let mut pairs = head.lines().filter_map(|line| line.split_once(": "));
    let found = pairs.find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map_or("", |(_, value)| value)
}

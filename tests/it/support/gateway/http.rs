//! HTTP as a provider speaks it, and as nobody should.

use std::net::SocketAddr;

use bytes::Bytes;
use hookgate::delivery::Delivery;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::support::DEADLINE;

/// An answer, received whole.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// Returns a header as text; empty where it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    /// Reads an answer that was received as bytes.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end =
            end.unwrap_or_else(|| panic!("no answer: {:?}", bytes.escape_ascii().to_string()));
        let mut lines = std::str::from_utf8(&bytes[..end]).unwrap().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let pairs = lines.map(|line| line.split_once(": ").unwrap());
        let pair = |(name, value): (&str, &str)| {
            let name: HeaderName = name.parse().unwrap();
            (name, value.parse().unwrap())
        };
        Self {
            status: status.parse().unwrap(),
            headers: pairs.map(pair).collect(),
            body: bytes[end + 4..].to_vec().into(),
        }
    }
}

/// Makes the request of a delivery: its path and query, its headers as they are.
pub(crate) fn request_of(delivery: &Delivery) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(delivery.body.clone()));
    *request.method_mut() = delivery.method.clone();
    *request.uri_mut() = target(&delivery.url).parse().unwrap();
    *request.headers_mut() = delivery.headers.clone();
    request
}

/// Writes a delivery as the bytes of an HTTP/1.1 request after which the connection ends.
pub(crate) fn bytes_of(delivery: &Delivery) -> Vec<u8> {
    let length = delivery.body.len();
    let mut bytes = head_of(delivery, &format!("content-length: {length}"));
    bytes.extend_from_slice(&delivery.body);
    bytes
}

/// Does the same with a body in chunks of so many bytes.
pub(crate) fn chunked_bytes_of(delivery: &Delivery, size: usize) -> Vec<u8> {
    let mut bytes = head_of(delivery, "transfer-encoding: chunked");
    for chunk in delivery.body.chunks(size).chain([&b""[..]]) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn head_of(delivery: &Delivery, framing: &str) -> Vec<u8> {
    let (method, target) = (&delivery.method, target(&delivery.url));
    let mut bytes = format!(
        "{method} {target} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n{framing}\r\n"
    )
    .into_bytes();
    for (name, value) in &delivery.headers {
        bytes.extend_from_slice(format!("{name}: ").as_bytes());
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// Reads until the other side ends the connection, one way or the other.
pub(crate) async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    let reading = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut received)).await;
    // A reset after the answer is an end too.
    let _ = reading.expect("the connection ends");
    received
}

fn target(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or("/", |at| &rest[at..])
}

/// Sends a request on a connection of its own.
pub(crate) async fn exchange(to: SocketAddr, mut request: Request<Full<Bytes>>) -> Answer {
    let host = HeaderValue::from_str(&to.to_string()).unwrap();
    request.headers_mut().entry(header::HOST).or_insert(host);
    let stream = TcpStream::connect(to).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    let whole = async move {
        let (parts, body) = sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    };
    let both = async { tokio::join!(whole, connection) };
    let (answer, _) = tokio::time::timeout(DEADLINE, both)
        .await
        .expect("the gateway answers");
    answer
}

//! Connections to a gateway as a provider makes them.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// One HTTP/1.1 connection, used for one request after the other. It never tries twice.
#[derive(Debug)]
pub(crate) struct Line {
    requests: SendRequest<Full<Bytes>>,
    _connection: JoinSet<()>,
}

impl Line {
    /// Connects.
    pub(crate) async fn to(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        let (requests, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(std::io::Error::other)?;
        let mut task = JoinSet::new();
        task.spawn(async move {
            // How it ended is seen by whoever sends.
            let _ = connection.await;
        });
        Ok(Self {
            requests,
            _connection: task,
        })
    }

    /// Sends a request and returns the whole answer.
    pub(crate) async fn send(&mut self, request: Request<Bytes>) -> hyper::Result<Response<Bytes>> {
        self.requests.ready().await?;
        let mut request = request.map(Full::new);
        request
            .headers_mut()
            .entry("host")
            .or_insert(http::HeaderValue::from_static("hooks.example"));
        let (parts, body) = self.requests.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Response::from_parts(parts, body))
    }
}

//! The socket under a connection, kept so that it can be cut.
//!
//! Lapin runs a thread per connection and has no deadline for the handshake: a peer that accepts and
//! never answers would hold that thread for ever, once per attempt. Cutting the socket ends it.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lapin::tcp::RustlsConnector;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{AsyncTcpStream, Connection, ConnectionProperties};

/// Cuts the socket when it is dropped.
pub(super) struct Socket(Arc<Mutex<Held>>);

#[derive(Default)]
enum Held {
    #[default]
    Nothing,
    Open(TcpStream),
    Cut,
}

impl Socket {
    /// Connects to a broker. Takes at most `limit` for reaching it, and as long again for the
    /// handshake; whatever is left over when that is not enough is cut.
    pub(super) async fn connect(
        uri: &AMQPUri,
        tls: Option<&RustlsConnector>,
        properties: ConnectionProperties,
        limit: Duration,
    ) -> lapin::Result<(Connection, Self)> {
        let socket = Self(Arc::default());
        let held = Arc::clone(&socket.0);
        let tls = tls.cloned();
        let runtime = lapin::runtime::default_runtime()?;
        let connected = Connection::connector(
            uri.clone(),
            runtime,
            async move |uri: AMQPUri, runtime| {
                let (held, tls) = (Arc::clone(&held), tls.clone());
                let reached = async {
                    let host = (uri.authority.host.as_str(), uri.authority.port);
                    let addresses: Vec<_> = tokio::net::lookup_host(host).await?.collect();
                    let stream = AsyncTcpStream::connect(&runtime, addresses).await?;
                    if let AsyncTcpStream::Plain(plain) = &stream {
                        hold(&held, plain.get_ref())?;
                    }
                    match (&uri.scheme, tls) {
                        (AMQPScheme::AMQP, _) => Ok(stream),
                        (AMQPScheme::AMQPS, Some(tls)) => {
                            stream.into_rustls(&tls, &uri.authority.host).await
                        }
                        (AMQPScheme::AMQPS, None) => Err(io::Error::other("TLS was not prepared")),
                    }
                };
                let late = |_| Err(io::Error::from(io::ErrorKind::TimedOut));
                tokio::time::timeout(limit, reached)
                    .await
                    .unwrap_or_else(late)
                    .map_err(Into::into)
            },
            properties,
        );
        match tokio::time::timeout(limit.saturating_mul(2), connected).await {
            Ok(connected) => Ok((connected?, socket)),
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Held::Open(stream) = std::mem::replace(&mut *held, Held::Cut) {
            // A socket that the peer closed first cannot be shut down, and need not be.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn hold(held: &Mutex<Held>, stream: &impl AsFd) -> io::Result<()> {
    let stream = TcpStream::from(stream.as_fd().try_clone_to_owned()?);
    let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
    match *held {
        Held::Cut => stream.shutdown(Shutdown::Both),
        Held::Nothing | Held::Open(_) => {
            *held = Held::Open(stream);
            Ok(())
        }
    }
}

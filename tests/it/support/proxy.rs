//! A TCP proxy in front of a server, through which a test can break the way to it.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::until;

/// What the proxy does with connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Passes bytes on.
    Open,
    /// Breaks connections off and accepts none.
    Cut,
    /// Keeps connections and passes nothing on.
    Frozen,
    /// Breaks connections off, and new ones as soon as they are made.
    TurnedAway,
    /// Passes on what the server says, and nothing that the client says.
    Mute,
}

/// A proxy on a port of its own. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    port: u16,
    way: watch::Sender<Way>,
    connected: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Starts a proxy that passes everything on to a local port.
    pub(crate) async fn to(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let way = watch::Sender::new(Way::Open);
        let mut tasks = JoinSet::new();
        let connected = Arc::new(AtomicUsize::new(0));
        let counted = connected.clone();
        tasks.spawn(run(
            Some(listener),
            port,
            server,
            (way.subscribe(), counted),
        ));
        Self {
            port,
            way,
            connected,
            _tasks: tasks,
        }
    }

    /// Returns the port to connect to.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Breaks all connections off and refuses new ones.
    pub(crate) fn cut(&self) {
        self.way.send_replace(Way::Cut);
    }

    /// Breaks all connections off, and new ones as soon as they are made, which are counted.
    pub(crate) fn turn_away(&self) {
        self.way.send_replace(Way::TurnedAway);
    }

    /// Counts the connections that were made to the proxy.
    pub(crate) fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }

    /// Holds everything back, as a server does that hangs.
    pub(crate) fn freeze(&self) {
        self.way.send_replace(Way::Frozen);
    }

    /// Breaks all connections off, and takes new ones. What was held back is lost.
    pub(crate) async fn interrupt(&self) {
        self.cut();
        let address = (Ipv4Addr::LOCALHOST, self.port);
        until("connections are refused", async || {
            TcpStream::connect(address).await.is_err()
        })
        .await;
        self.mend();
    }

    /// Holds back what clients say, such as acknowledgements, and passes on what the server says.
    pub(crate) fn mute(&self) {
        self.way.send_replace(Way::Mute);
    }

    /// Passes everything on again.
    pub(crate) fn mend(&self) {
        self.way.send_replace(Way::Open);
    }
}

async fn run(
    mut listener: Option<TcpListener>,
    port: u16,
    server: u16,
    (mut way, connected): (watch::Receiver<Way>, Arc<AtomicUsize>),
) {
    let mut connections = JoinSet::new();
    loop {
        let now = *way.borrow_and_update();
        if matches!(now, Way::Cut | Way::TurnedAway) {
            connections.abort_all();
        }
        if now == Way::Cut {
            listener = None;
        } else if listener.is_none() {
            listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.ok();
        }
        tokio::select! {
            changed = way.changed() => if changed.is_err() { return },
            Some(client) = accept(listener.as_ref()) => {
                connected.fetch_add(1, Ordering::Relaxed);
                if now != Way::TurnedAway {
                    connections.spawn(pass_on(client, server, way.clone()));
                }
            }
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> Option<TcpStream> {
    Some(listener?.accept().await.ok()?.0)
}

async fn pass_on(mut client: TcpStream, server: u16, way: watch::Receiver<Way>) {
    let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await else {
        return;
    };
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let asked = pass(from_client, to_server, way.clone(), |way| way == Way::Open);
    let answered = pass(from_server, to_client, way, |way| {
        matches!(way, Way::Open | Way::Mute)
    });
    tokio::select! {
        () = asked => {}
        () = answered => {}
    }
}

/// Passes bytes on in one direction, while the way is open for it.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut way: watch::Receiver<Way>,
    open: fn(Way) -> bool,
) {
    let mut buffer = [0; 8192];
    while way.wait_for(|way| open(*way)).await.is_ok() {
        let read = tokio::select! {
            biased;
            _ = way.wait_for(|way| !open(*way)) => continue,
            read = from.read(&mut buffer) => read,
        };
        let bytes = &buffer[..read.unwrap_or(0)];
        if bytes.is_empty() || to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

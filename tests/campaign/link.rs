//! A TCP link that can fail in every way that a network does.
//!
//! One listener and one server behind it. What is held back while a link hangs arrives when it is
//! mended, as TCP would send it again; nothing is ever left out of a stream that goes on.

use std::net::Ipv4Addr;
use std::pin::pin;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::support::ports::free_port;

/// How long to wait before the port of a refusing link is tried again.
const AGAIN: Duration = Duration::from_millis(5);

/// In which direction bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Toward {
    Server,
    Client,
}

/// What the link does with connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Passes bytes on.
    Open,
    /// Refuses connections, and has reset those that there were.
    Refused,
    /// Keeps and takes connections, and passes nothing on.
    Hung,
    /// Passes nothing on in one direction.
    HalfOpen(Toward),
    /// Passes a few bytes on at once, after a pause.
    Slow { at_once: usize, pause: Duration },
    /// Ends each connection once so many bytes have passed in one direction.
    Cut { after: usize },
}

impl Way {
    fn lets(self, toward: Toward) -> bool {
        match self {
            Self::Refused | Self::Hung => false,
            Self::HalfOpen(dead) => toward != dead,
            Self::Open | Self::Slow { .. } | Self::Cut { .. } => true,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct State {
    way: Way,
    server: u16,
    /// Counts what was done to the link.
    turn: u64,
    /// Counts what broke every connection.
    breaks: u64,
}

/// A link on a port of its own. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Link {
    port: u16,
    state: watch::Sender<State>,
    _task: JoinSet<()>,
}

impl Link {
    /// Starts a link to a local port.
    pub(crate) fn to(server: u16) -> Self {
        let port = free_port();
        let state = watch::Sender::new(State {
            way: Way::Open,
            server,
            turn: 0,
            breaks: 0,
        });
        let mut task = JoinSet::new();
        task.spawn(run(port, state.subscribe()));
        Self {
            port,
            state,
            _task: task,
        }
    }

    /// The port to connect to.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Lets the link do something else.
    pub(crate) fn set(&self, way: Way) {
        self.state.send_modify(|state| {
            state.way = way;
            state.turn += 1;
            state.breaks += u64::from(way == Way::Refused);
        });
    }

    /// Resets every connection. New ones are taken.
    pub(crate) fn reset(&self) {
        self.state.send_modify(|state| state.breaks += 1);
    }

    /// Leads to another server from now on, and resets every connection to the old one.
    pub(crate) fn lead_to(&self, server: u16) {
        self.state.send_modify(|state| {
            state.server = server;
            state.breaks += 1;
        });
    }
}

async fn run(port: u16, mut state: watch::Receiver<State>) {
    let mut connections = JoinSet::new();
    let mut listener = None;
    loop {
        if state.borrow_and_update().way == Way::Refused {
            listener = None;
        } else if listener.is_none() {
            listener = Some(listen(port).await);
        }
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return },
            Some(client) = accept(listener.as_ref()) => {
                connections.spawn(carry(client, state.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn listen(port: u16) -> TcpListener {
    loop {
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            return listener;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn accept(listener: Option<&TcpListener>) -> Option<TcpStream> {
    Some(listener?.accept().await.ok()?.0)
}

/// Carries one connection, for as long as both ends and the link want it.
async fn carry(mut client: TcpStream, mut state: watch::Receiver<State>) {
    let breaks = state.borrow().breaks;
    let mut watched = state.clone();
    let mut broken = pin!(async move {
        // An error means that the link is gone, which breaks it all the same.
        drop(watched.wait_for(|state| state.breaks != breaks).await);
    });
    let server = tokio::select! {
        () = &mut broken => None,
        server = reach(&mut state) => server,
    };
    let Some(mut server) = server else {
        let _ = client.set_zero_linger();
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    tokio::select! {
        () = &mut broken => {
            let _ = (client.set_zero_linger(), server.set_zero_linger());
        }
        () = pass_on(&mut client, &mut server, &state) => {}
    }
}

async fn reach(state: &mut watch::Receiver<State>) -> Option<TcpStream> {
    let port = open(state, Toward::Server).await?.server;
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()
}

async fn pass_on(client: &mut TcpStream, server: &mut TcpStream, state: &watch::Receiver<State>) {
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    tokio::select! {
        _ = pump(from_client, to_server, Toward::Server, state.clone()) => {}
        _ = pump(from_server, to_client, Toward::Client, state.clone()) => {}
    }
}

/// Waits until the link lets bytes by. Nothing where it is gone.
async fn open(state: &mut watch::Receiver<State>, toward: Toward) -> Option<State> {
    let state = state.wait_for(|state| state.way.lets(toward)).await;
    Some(*state.ok()?)
}

/// Passes bytes on until one end closes, the link is gone or it cuts the connection.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    toward: Toward,
    mut state: watch::Receiver<State>,
) -> Option<()> {
    let mut bytes = vec![0; 16 << 10];
    let (mut turn, mut passed) = (0, 0);
    loop {
        let most = match open(&mut state, toward).await?.way {
            Way::Slow { at_once, .. } => at_once,
            _ => bytes.len(),
        };
        let read = tokio::select! {
            read = from.read(&mut bytes[..most]) => read.ok().filter(|read| *read > 0)?,
            changed = state.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return None,
            }
        };
        // It may have begun to hang meanwhile.
        let now = open(&mut state, toward).await?;
        if std::mem::replace(&mut turn, now.turn) != now.turn {
            passed = 0;
        }
        match now.way {
            Way::Slow { pause, .. } => tokio::time::sleep(pause).await,
            Way::Cut { after } if passed + read > after => {
                let rest = after.saturating_sub(passed);
                let _ = to.write_all(&bytes[..rest]).await;
                return None;
            }
            _ => {}
        }
        passed += read;
        to.write_all(&bytes[..read]).await.ok()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link to a server that answers what it is sent, and a connection through it.
    async fn echo() -> (Link, TcpStream, JoinSet<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let link = Link::to(listener.local_addr().unwrap().port());
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        let client = connect(&link).await;
        (link, client, server)
    }

    async fn connect(link: &Link) -> TcpStream {
        loop {
            // The link's listener may not be there yet.
            if let Ok(client) = TcpStream::connect((Ipv4Addr::LOCALHOST, link.port())).await {
                return client;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn answered(client: &mut TcpStream, text: &[u8]) -> std::io::Result<Vec<u8>> {
        client.write_all(text).await?;
        let mut answer = vec![0; text.len()];
        client.read_exact(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn what_is_held_back_arrives_whole_when_the_link_is_mended() {
        let (link, mut client, _server) = echo().await;
        for way in [
            Way::Hung,
            Way::HalfOpen(Toward::Server),
            Way::HalfOpen(Toward::Client),
        ] {
            assert_eq!(answered(&mut client, b"before").await.unwrap(), b"before");
            link.set(way);
            client.write_all(b"during").await.unwrap();
            let mut answer = [0; 6];
            let early = Duration::from_millis(100);
            let early = tokio::time::timeout(early, client.read_exact(&mut answer)).await;
            assert!(early.is_err(), "{way:?} lets {answer:?} by");
            link.set(Way::Open);
            client.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"during");
        }
    }

    #[tokio::test]
    async fn a_cut_lets_so_many_bytes_by_and_then_ends_the_connection() {
        let (link, mut client, _server) = echo().await;
        link.set(Way::Cut { after: 4 });
        client.write_all(b"mid-frame").await.unwrap();
        let mut answer = Vec::new();
        // Ended or reset: either way no more than that has come.
        let _ = client.read_to_end(&mut answer).await;
        assert!(b"mid-".starts_with(&answer[..]), "{answer:?}");
    }

    #[tokio::test]
    async fn a_slow_link_passes_everything_on() {
        let (link, mut client, _server) = echo().await;
        let pause = Duration::from_millis(1);
        link.set(Way::Slow { at_once: 7, pause });
        let text = b"a few bytes at once, and all of them";
        assert_eq!(answered(&mut client, text).await.unwrap(), text);
    }

    #[tokio::test]
    async fn a_refusing_link_breaks_connections_and_a_reset_one_takes_new_ones() {
        let (link, mut client, _server) = echo().await;
        answered(&mut client, b"x").await.unwrap();
        link.reset();
        assert!(answered(&mut client, b"x").await.is_err());
        let mut client = connect(&link).await;
        answered(&mut client, b"x").await.unwrap();
        link.set(Way::Refused);
        assert!(answered(&mut client, b"x").await.is_err());
        link.set(Way::Open);
        answered(&mut connect(&link).await, b"x").await.unwrap();
    }

    #[tokio::test]
    async fn a_link_can_lead_to_another_server() {
        let (link, mut client, _server) = echo().await;
        let (other, _, _other_server) = echo().await;
        link.lead_to(other.port());
        assert!(answered(&mut client, b"x").await.is_err());
        answered(&mut connect(&link).await, b"x").await.unwrap();
    }
}

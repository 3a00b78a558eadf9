//! The load: connections that are kept, each sending its next delivery when the last is answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use hookgate::clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::body::Sample;

/// Connections open at once.
const CONNECTIONS: usize = 16;
/// Most bytes of an answer.
const MAX_ANSWER: usize = 4096;

/// Numbers deliveries over the whole run, so that no two are alike.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// What one turn came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Deliveries answered with 200.
    pub(crate) deliveries: u64,
    /// How long it took.
    pub(crate) took: Duration,
}

/// Sends deliveries to a server for as long as `turn`.
pub(crate) fn run(server: SocketAddr, sample: &Sample, turn: Duration) -> anyhow::Result<Load> {
    // One thread: what sends takes at most one of the cores.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let began = clock::instant();
        let answered = Arc::new(AtomicU64::new(0));
        let mut connections = JoinSet::new();
        for _ in 0..CONNECTIONS {
            connections.spawn(send(server, sample.clone(), began + turn, answered.clone()));
        }
        while let Some(ended) = connections.join_next().await {
            ended??;
        }
        Ok(Load {
            deliveries: answered.load(Ordering::Relaxed),
            took: clock::instant().saturating_duration_since(began),
        })
    })
}

async fn send(
    server: SocketAddr,
    mut sample: Sample,
    until: Instant,
    answered: Arc<AtomicU64>,
) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let (mut request, mut answer) = (Vec::new(), Vec::with_capacity(MAX_ANSWER));
    while clock::instant() < until {
        sample.write(NEXT.fetch_add(1, Ordering::Relaxed), &mut request)?;
        stream.write_all(&request).await?;
        answer.clear();
        while !answer.ends_with(b"\r\n\r\n") {
            ensure!(answer.len() < MAX_ANSWER, "an answer without end");
            if stream.read_buf(&mut answer).await? == 0 {
                bail!("the server closed a connection");
            }
        }
        let line = answer.split(|byte| *byte == b'\r').next();
        ensure!(
            line == Some(b"HTTP/1.1 200 OK"),
            "answered {}",
            String::from_utf8_lossy(&answer)
        );
        answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

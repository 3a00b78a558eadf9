//! The servers that are compared, each in a process of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hookgate::app::App;
use hookgate::config::{Config, Log, LogFormat, ProcessEnvironment};
use hookgate::ledger::{Backlog, Ledger, LedgerError, Recorded};
use hookgate::publisher::{PublishError, Publisher};
use hookgate::shutdown::Drain;
use hookgate::signal::{Draft, Signal};
use hookgate::telemetry;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::Level;

use crate::body::{PATH, SECRET};
use crate::endpoints;

/// Threads of every server: as many as the cores of a small machine.
pub(crate) const THREADS: usize = 2;

/// A server to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Reads the body and answers 200.
    Floor,
    /// The gateway, logging a line for each delivery.
    Gateway,
    /// The gateway, logging what is wrong.
    GatewayAtWarn,
    /// The same with endpoints of a few more providers.
    FewProviders,
    /// The same with endpoints of every provider.
    EveryProvider,
}

impl Role {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [
        Self::Floor,
        Self::Gateway,
        Self::GatewayAtWarn,
        Self::FewProviders,
        Self::EveryProvider,
    ];

    /// Returns its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "bare server",
            Self::Gateway => "gateway, log level info",
            Self::GatewayAtWarn => "gateway, log level warn",
            Self::FewProviders => "the same, 8 providers",
            Self::EveryProvider => "the same, every provider",
        }
    }

    /// Finds one by its name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// Serves until standard input ends.
pub(crate) fn serve(role: Role) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match role {
            Role::Floor => floor().await,
            Role::Gateway => gateway(Level::INFO, "").await,
            Role::GatewayAtWarn => gateway(Level::WARN, "").await,
            Role::FewProviders => gateway(Level::WARN, &endpoints::of_few()?).await,
            Role::EveryProvider => gateway(Level::WARN, &endpoints::of_every()?).await,
        }
    })
}

async fn floor() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    announce(listener.local_addr()?);
    let drain = Drain::new();
    let connections = drain.clone();
    drain.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let connection =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
            connections.spawn(connection);
        }
    });
    end_of_input().await
}

async fn answer(request: Request<Incoming>) -> hyper::Result<Response<Empty<Bytes>>> {
    request.into_body().collect().await?;
    Ok(Response::new(Empty::new()))
}

async fn gateway(level: Level, more: &str) -> anyhow::Result<()> {
    let format = LogFormat::Json;
    telemetry::start(Log { format, level })?;
    let config = configuration(more)?;
    let nowhere = Arc::new(NoPublisher(watch::Sender::new(true)));
    let app = App::assemble(config, Arc::new(NoLedger), nowhere, Drain::new()).await?;
    announce(app.public_addr());
    let running = app.spawn();
    end_of_input().await?;
    running.finish(Duration::from_secs(1)).await;
    Ok(())
}

/// Reads the configuration of the endpoint under load and of others.
pub(crate) fn configuration(more: &str) -> anyhow::Result<Config> {
    let text = format!(
        "allow_inline_secrets = true\n\
         [server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n\
         [[endpoint]]\nid = \"bench\"\npath = \"{PATH}\"\ntenant = \"acme\"\nprovider = \"github\"\n\
         secrets = [\"{SECRET}\"]\n{more}"
    );
    Config::parse(&text, "bench", Path::new(""), &ProcessEnvironment)
        .map_err(|problems| anyhow::anyhow!("{problems}"))
}

#[expect(clippy::print_stdout, reason = "the parent reads it there")]
fn announce(address: SocketAddr) {
    println!("{address}");
}

async fn end_of_input() -> anyhow::Result<()> {
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    Ok(())
}

/// A ledger that takes everything for new and keeps nothing.
#[derive(Debug)]
struct NoLedger;

#[async_trait]
impl Ledger for NoLedger {
    async fn record(&self, drafts: Vec<Draft>) -> Result<Vec<Recorded>, LedgerError> {
        let recorded = drafts.into_iter().map(|draft| Recorded::New {
            signal: draft.into_signal(false),
            id_conflict: false,
        });
        Ok(recorded.collect())
    }

    async fn unpublished(&self, _limit: usize) -> Result<Vec<Signal>, LedgerError> {
        Ok(Vec::new())
    }

    async fn published(&self, _signals: &[Signal]) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn released(&self, _signals: &[Signal]) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn parked(&self, _signal: &Signal, _reason: &str) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn retry_parked(
        &self,
        _limit: usize,
        _rest: Duration,
    ) -> Result<Vec<Signal>, LedgerError> {
        Ok(Vec::new())
    }

    async fn backlog(&self) -> Result<Backlog, LedgerError> {
        Ok(Backlog::default())
    }

    async fn prune(&self) -> Result<u64, LedgerError> {
        Ok(0)
    }

    async fn probe(&self) -> Result<Vec<String>, LedgerError> {
        Ok(Vec::new())
    }

    async fn close(&self) {}
}

/// A publisher that confirms everything at once.
#[derive(Debug)]
struct NoPublisher(watch::Sender<bool>);

#[async_trait]
impl Publisher for NoPublisher {
    async fn publish(&self, _signal: &Signal) -> Result<(), PublishError> {
        Ok(())
    }

    fn ready(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }

    async fn probe(&self) -> Result<Vec<String>, PublishError> {
        Ok(Vec::new())
    }

    async fn close(&self) {}
}

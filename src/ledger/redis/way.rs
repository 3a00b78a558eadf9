//! How a connection is made: to a server that is known, or to the one that the sentinels name.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo,
    IntoConnectionInfo, RedisError, TlsCertificates, Value,
};
use secrecy::ExposeSecret;
use tokio::time::timeout_at;

use super::place::{Access, Place, Shape};
use super::trouble::Trouble;
use crate::address::Address;
use crate::clock;
use crate::ledger::LedgerError;

/// How many requests may be under way at once on a connection; more wait, no longer than one call may
/// take.
const MAX_IN_FLIGHT: usize = 1024;

/// The host and port of a server, as it is told by others.
pub(super) type Node = (String, u16);

/// Where a link leads.
pub(super) enum Way {
    /// To this server.
    Server(Client),
    /// To the master of a service.
    Sentinels(Sentinels),
}

impl Way {
    /// Connects. Returns also which server that is, where it can change.
    pub(super) async fn connect(
        &self,
        config: &AsyncConnectionConfig,
        deadline: Instant,
    ) -> Result<(MultiplexedConnection, Option<Node>), Trouble> {
        match self {
            Self::Server(client) => Ok((connect(client, config).await?, None)),
            Self::Sentinels(sentinels) => {
                let (connection, node) = sentinels.connect(config, deadline).await?;
                Ok((connection, Some(node)))
            }
        }
    }
}

/// The settings of every connection.
pub(super) fn config(timeout: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(timeout))
        .set_response_timeout(Some(timeout))
        .set_pipeline_buffer_size(MAX_IN_FLIGHT)
        .set_concurrency_limit(MAX_IN_FLIGHT)
}

/// How to log in to servers of one kind, wherever they are.
#[derive(Clone)]
pub(super) struct Login(ConnectionInfo);

impl Login {
    /// Reads a URL; its host does not count. Certificates that cannot be used are told here.
    pub(super) fn new(address: &Address, access: &Access) -> Result<Self, LedgerError> {
        // The client library's own error may quote the URL, so only its kind is told.
        let unusable = |error: &RedisError| LedgerError::Unavailable {
            what: format!("{address} is not a usable address ({})", error.category()),
            source: None,
        };
        let info = address
            .expose()
            .into_connection_info()
            .map_err(|error| unusable(&error))?;
        if address.scheme() != "rediss" || !access.tls.given() {
            return Ok(Self(info));
        }
        let bytes = |text: &str| text.as_bytes().to_vec();
        let certificates = TlsCertificates {
            client_tls: access.tls.identity.as_ref().map(|one| ClientTlsConfig {
                client_cert: bytes(&one.chain),
                client_key: bytes(one.key.expose_secret()),
            }),
            root_cert: access.tls.roots.as_deref().map(bytes),
        };
        let client = Client::build_with_tls(info, certificates).map_err(|error| {
            LedgerError::unavailable("ledger.ca_file or ledger.client_cert_file", error)
        })?;
        Ok(Self(client.get_connection_info().clone()))
    }

    /// Adds a password, for sentinels.
    fn with_password(self, access: &Access) -> Self {
        let Some(password) = &access.sentinel_password else {
            return self;
        };
        let settings = self.0.redis_settings().clone();
        let settings = settings.set_password(password.expose_secret());
        Self(self.0.set_redis_settings(settings))
    }

    /// Returns a client of the server in the URL.
    pub(super) fn client(&self) -> Result<Client, RedisError> {
        Client::open(self.0.clone())
    }

    /// Returns a client of another server.
    pub(super) fn client_at(&self, (host, port): &Node) -> Result<Client, RedisError> {
        let (host, port) = (host.clone(), *port);
        let address = match self.0.addr().clone() {
            ConnectionAddr::TcpTls {
                insecure,
                tls_params,
                ..
            } => ConnectionAddr::TcpTls {
                host,
                port,
                insecure,
                tls_params,
            },
            _ => ConnectionAddr::Tcp(host, port),
        };
        Client::open(self.0.clone().set_addr(address))
    }

    /// Returns the server in the URL.
    pub(super) fn node(&self) -> Node {
        match self.0.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                (host.clone(), *port)
            }
            other => (other.to_string(), 0),
        }
    }
}

/// Connects, and tells plainly where it is the certificate that is at fault.
async fn connect(
    client: &Client,
    config: &AsyncConnectionConfig,
) -> Result<MultiplexedConnection, Trouble> {
    let connected = client.get_multiplexed_async_connection_with_config(config);
    connected.await.map_err(
        |error| match error.to_string().contains("invalid peer certificate") {
            true => Trouble::Untrusted {
                node: client.get_connection_info().addr().to_string(),
                source: error.into(),
            },
            false => error.into(),
        },
    )
}

/// Sentinels, and how to log in to what they name.
pub(super) struct Sentinels {
    service: String,
    sentinels: Vec<Sentinel>,
    login: Login,
}

struct Sentinel {
    client: Client,
    open: Mutex<Option<MultiplexedConnection>>,
}

impl Sentinels {
    pub(super) fn new(place: &Place, access: &Access) -> Result<Option<Self>, LedgerError> {
        let Shape::Sentinel { service } = &place.shape else {
            return Ok(None);
        };
        let sentinel = |address: &Address| {
            let login = Login::new(address, access)?.with_password(access);
            let client = login
                .client()
                .map_err(|error| LedgerError::unavailable("preparing a sentinel", error))?;
            let open = Mutex::default();
            Ok(Sentinel { client, open })
        };
        Ok(Some(Self {
            service: service.clone(),
            sentinels: place.hosts.iter().map(sentinel).collect::<Result<_, _>>()?,
            login: Login::new(&place.login, access)?,
        }))
    }

    /// Connects to the master: to the address that most sentinels name, if what is there says that it
    /// is one, else to the next.
    async fn connect(
        &self,
        config: &AsyncConnectionConfig,
        deadline: Instant,
    ) -> Result<(MultiplexedConnection, Node), Trouble> {
        let (named, mut trouble) = self.named(config, deadline).await;
        for node in named {
            match self.connect_to_master(&node, config).await {
                Ok(connection) => return Ok((connection, node)),
                Err(why) => trouble = Some(why),
            }
        }
        Err(Trouble::NoMaster {
            service: self.service.clone(),
            source: trouble.map(Box::new),
        })
    }

    async fn connect_to_master(
        &self,
        node: &Node,
        config: &AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, Trouble> {
        let mut connection = connect(&self.login.client_at(node)?, config).await?;
        let role: Vec<Value> = redis::cmd("ROLE").query_async(&mut connection).await?;
        let role: Option<String> = role
            .into_iter()
            .next()
            .map(redis::from_redis_value)
            .transpose()
            .map_err(RedisError::from)?;
        match role.unwrap_or_default() {
            role if role == "master" => Ok(connection),
            role => Err(Trouble::NotMaster {
                node: format!("{}:{}", node.0, node.1),
                role,
            }),
        }
    }

    /// Returns the addresses that the sentinels name, that of most first, and why one named none.
    ///
    /// One sentinel may be cut off and not know of a failover, so it does not decide alone. Waits for
    /// no more of them than a majority that agrees, and not for long.
    async fn named(
        &self,
        config: &AsyncConnectionConfig,
        deadline: Instant,
    ) -> (Vec<Node>, Option<Trouble>) {
        let patience = deadline.saturating_duration_since(clock::instant()) / 3;
        let until = clock::instant() + patience;
        let mut asked: FuturesUnordered<_> = self
            .sentinels
            .iter()
            .map(|sentinel| sentinel.master_of(&self.service, config))
            .collect();
        let (mut votes, mut trouble) = (BTreeMap::<Node, usize>::new(), None);
        let counting = async {
            while let Some(answer) = asked.next().await {
                match answer {
                    Ok(None) => {}
                    Ok(Some(node)) => {
                        let of_this = votes.entry(node).or_default();
                        *of_this += 1;
                        if *of_this > self.sentinels.len() / 2 {
                            return;
                        }
                    }
                    Err(why) => trouble = Some(why),
                }
            }
        };
        let late = timeout_at(until.into(), counting).await.is_err();
        let mut named: Vec<_> = votes.into_iter().collect();
        named.sort_by_key(|(_, votes)| std::cmp::Reverse(*votes));
        let trouble = trouble.or_else(|| late.then_some(Trouble::Silent(patience)));
        (named.into_iter().map(|(node, _)| node).collect(), trouble)
    }

    /// Tells whether most sentinels name another master than `node`.
    pub(super) async fn have_moved_on(
        &self,
        node: &Node,
        config: &AsyncConnectionConfig,
        deadline: Instant,
    ) -> bool {
        let (named, _) = self.named(config, deadline).await;
        named.first().is_some_and(|named| named != node)
    }

    /// Says how many sentinels answer and whether they could fail over.
    pub(super) async fn findings(
        &self,
        config: &AsyncConnectionConfig,
        deadline: Instant,
    ) -> Vec<String> {
        let service = &self.service;
        let asked = self.sentinels.iter().map(|sentinel| async {
            let words = ["CKQUORUM", service];
            let quorum = sentinel.ask::<String>(&words, config);
            timeout_at(deadline.into(), quorum).await
        });
        let answers = join_all(asked).await;
        let heard = answers.iter().filter(|answer| match answer {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => error.code() == Some("NOQUORUM"),
            Err(_) => false,
        });
        let (all, heard) = (answers.len(), heard.count());
        let warning = if heard < all { "WARNING: " } else { "" };
        let mut found = vec![format!("sentinels: {warning}{heard} of {all} answer")];
        let ready = answers.iter().filter(|answer| matches!(answer, Ok(Ok(_))));
        found.push(match ready.count() {
            0 => format!(
                "sentinels: WARNING: too few of them see {service} to fail over when its master fails"
            ),
            _ => format!("sentinels: they are enough to fail over when the master of {service} fails"),
        });
        found
    }
}

impl Sentinel {
    /// Asks which server is the master of `service`; `None` where the sentinel does not know it.
    async fn master_of(
        &self,
        service: &str,
        config: &AsyncConnectionConfig,
    ) -> Result<Option<Node>, Trouble> {
        let words = ["GET-MASTER-ADDR-BY-NAME", service];
        Ok(self.ask(&words, config).await?)
    }

    async fn ask<T: redis::FromRedisValue>(
        &self,
        words: &[&str],
        config: &AsyncConnectionConfig,
    ) -> Result<T, RedisError> {
        let open = self.open().take();
        let mut command = redis::cmd("SENTINEL");
        command.arg(words);
        if let Some(mut connection) = open
            && let Ok(answer) = command.query_async(&mut connection).await
        {
            *self.open() = Some(connection);
            return Ok(answer);
        }
        let connected = self
            .client
            .get_multiplexed_async_connection_with_config(config);
        let mut connection = connected.await?;
        let answer = command.query_async(&mut connection).await?;
        *self.open() = Some(connection);
        Ok(answer)
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Option<MultiplexedConnection>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! `[server]`: where the gateway listens, and how much it takes on.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;
use tracing::Level;

use super::net::{PublicUrl, network};
use super::reader::Section;

/// The gateway's sockets and their limits.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where deliveries are received. `0.0.0.0:8080` unless set.
    pub listen: SocketAddr,
    /// Where metrics, health and the admin API are served. `127.0.0.1:9090` unless set.
    pub admin_listen: SocketAddr,
    /// What providers call. Without it, the URL is made from what the request says.
    pub public_url: Option<PublicUrl>,
    /// Proxies that are believed about the caller's address, the host and the scheme. None unless set.
    pub trusted_proxies: Vec<IpNet>,
    /// How long work may take to finish once the gateway stops. 25 s unless set.
    pub shutdown_grace: Duration,
    /// How long a caller may take to send a request's headers. 10 s unless set.
    pub header_timeout: Duration,
    /// How long a caller may take to send a body. 30 s unless set.
    pub body_timeout: Duration,
    /// Connections open at once. 10 000 unless set.
    pub max_connections: usize,
    /// Bytes of bodies held at once, over all connections. 256 MiB unless set.
    pub max_in_flight_bytes: usize,
    /// What is logged, and how.
    pub log: Log,
}

/// What is logged, and how. Logs go to standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// The form of a line. `auto` unless set.
    pub format: LogFormat,
    /// The least severe level that is logged. `info` unless set.
    pub level: Level,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    /// One JSON object a line.
    Json,
    /// Text for people.
    Human,
}

/// Proxies and networks in one list.
pub(super) const MAX_NETWORKS: usize = 1_000;

const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_mins(10);
const GRACE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(1);
const IN_FLIGHT_BYTES: RangeInclusive<usize> = (64 << 10)..=(64 << 30);

impl Server {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8080));
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 9090));
        let secs = Duration::from_secs;
        let server = Self {
            listen: section.parsed("listen", socket).unwrap_or(any),
            admin_listen: section.parsed("admin_listen", socket).unwrap_or(loopback),
            public_url: section.parsed("public_url", PublicUrl::parse),
            trusted_proxies: section.parsed_list("trusted_proxies", MAX_NETWORKS, network),
            shutdown_grace: section
                .duration("shutdown_grace", GRACE)
                .unwrap_or(secs(25)),
            header_timeout: section
                .duration("header_timeout", TIMEOUT)
                .unwrap_or(secs(10)),
            body_timeout: section
                .duration("body_timeout", TIMEOUT)
                .unwrap_or(secs(30)),
            max_connections: section
                .count("max_connections", 1..=1_000_000)
                .unwrap_or(10_000),
            max_in_flight_bytes: section
                .size("max_in_flight_bytes", IN_FLIGHT_BYTES)
                .unwrap_or(256 << 20),
            log: Log::read(&mut section),
        };
        server.check(&section);
        section.finish();
        server
    }

    fn check(&self, section: &Section<'_>) {
        let same_port = self.listen.port() == self.admin_listen.port() && self.listen.port() != 0;
        if same_port && overlap(self.listen.ip(), self.admin_listen.ip()) {
            section.report.problem(
                section.place_of("admin_listen"),
                "`admin_listen` takes the same port as `listen`; give it one of its own",
            );
        }
        if self
            .trusted_proxies
            .iter()
            .any(|network| network.prefix_len() == 0)
        {
            section.report.warning(
                section.place_of("trusted_proxies"),
                "`trusted_proxies` trusts everyone, so any caller can claim any address",
            );
        }
    }
}

impl Log {
    fn read(section: &mut Section<'_>) -> Self {
        let formats = [
            ("auto", LogFormat::Auto),
            ("json", LogFormat::Json),
            ("human", LogFormat::Human),
        ];
        let levels = [
            ("error", Level::ERROR),
            ("warn", Level::WARN),
            ("info", Level::INFO),
            ("debug", Level::DEBUG),
            ("trace", Level::TRACE),
        ];
        Self {
            format: section
                .choice("log_format", &formats)
                .unwrap_or(LogFormat::Auto),
            level: section.choice("log_level", &levels).unwrap_or(Level::INFO),
        }
    }
}

fn socket(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "must be an IP address and a port, such as \"0.0.0.0:8080\"".into())
}

fn overlap(one: IpAddr, other: IpAddr) -> bool {
    one == other || one.is_unspecified() || other.is_unspecified()
}

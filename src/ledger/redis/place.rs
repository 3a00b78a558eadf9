//! Where a Redis ledger is: one server, a cluster, or whichever server the sentinels call the master.
//!
//! Read from `ledger.url`, before anything is connected to. Shown without user info.

use std::fmt;

use secrecy::SecretString;

use crate::address::Address;
use crate::config::TlsFiles;

/// Most hosts of one URL.
pub const MAX_HOSTS: usize = 32;

/// The port of a sentinel whose URL names none.
const SENTINEL_PORT: u16 = 26_379;

/// The forms that a URL of a Redis ledger can have, for messages.
pub const FORMS: &str = "redis://HOST:PORT, redis+cluster://HOST:PORT,HOST:PORT or \
    redis+sentinel://HOST:PORT,HOST:PORT/SERVICE, each with rediss for TLS";

/// The place of a Redis ledger. `Display` and `Debug` leave out user, password and query.
#[derive(Clone)]
pub struct Place {
    pub(super) shape: Shape,
    /// What is connected to first: the server, nodes of the cluster, or the sentinels.
    pub(super) hosts: Vec<Address>,
    /// How to log in to the servers with data: a URL whose host does not count.
    pub(super) login: Address,
    shown: String,
}

/// In which shape Redis is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Server,
    Cluster,
    /// The sentinels know the master of this name.
    Sentinel {
        service: String,
    },
}

/// What connections need beside the URL.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Whom connections trust, and as whom they show themselves.
    pub tls: TlsFiles,
    /// The password of the sentinels themselves.
    pub sentinel_password: Option<SecretString>,
}

impl Place {
    /// Reads a URL. The error says what is wrong with it, and never repeats it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or("no `scheme://` at its beginning")?;
        let (base, shape) = scheme.split_once('+').unwrap_or((scheme, ""));
        match (base, shape) {
            ("redis" | "rediss", "") => Self::server(text),
            ("redis" | "rediss", "cluster") => Self::cluster(base, &Parts::of(rest)),
            ("redis" | "rediss", "sentinel") => Self::sentinel(base, &Parts::of(rest)),
            _ if scheme.bytes().all(is_of_scheme) => Err(format!("`{scheme}:` is no ledger")),
            _ => Err("not a URL".to_owned()),
        }
    }

    /// Tells whether connections are encrypted.
    pub fn is_tls(&self) -> bool {
        self.login.scheme() == "rediss"
    }

    /// Tells whether sentinels are asked where to connect to.
    pub fn has_sentinels(&self) -> bool {
        matches!(self.shape, Shape::Sentinel { .. })
    }

    fn server(text: &str) -> Result<Self, String> {
        if Parts::of(text.split_once("://").map_or("", |(_, rest)| rest))
            .hosts
            .contains(',')
        {
            return Err("several hosts are a cluster's or sentinels".to_owned());
        }
        let address = Address::parse(text)?;
        Ok(Self {
            shape: Shape::Server,
            shown: address.to_string(),
            hosts: vec![address.clone()],
            login: address,
        })
    }

    fn cluster(base: &str, parts: &Parts<'_>) -> Result<Self, String> {
        if !matches!(parts.path, "" | "/" | "/0") {
            return Err("a cluster has no databases: nothing may follow its hosts".to_owned());
        }
        let hosts = parts.hosts(|host| format!("{base}://{}{host}{}", parts.user, parts.query))?;
        Ok(Self {
            shape: Shape::Cluster,
            login: hosts[0].clone(),
            shown: format!("{base}+cluster://{}", shown(&hosts)),
            hosts,
        })
    }

    fn sentinel(base: &str, parts: &Parts<'_>) -> Result<Self, String> {
        let path = parts.path.trim_matches('/');
        let (service, db) = path.split_once('/').unwrap_or((path, "0"));
        if service.is_empty() || !service.bytes().all(is_of_service) {
            return Err(
                "no name of a service, such as /mymaster, follows the sentinels".to_owned(),
            );
        }
        let db: u16 = db
            .parse()
            .map_err(|_| "what follows the service is no number of a database".to_owned())?;
        let hosts = parts.hosts(|host| match has_port(host) {
            true => format!("{base}://{host}"),
            false => format!("{base}://{host}:{SENTINEL_PORT}"),
        })?;
        let login = format!("{base}://{}master/{db}{}", parts.user, parts.query);
        Ok(Self {
            login: Address::parse(&login)?,
            shown: format!("{base}+sentinel://{}/{service}/{db}", shown(&hosts)),
            shape: Shape::Sentinel {
                service: service.to_owned(),
            },
            hosts,
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// What follows the scheme of a URL with several hosts.
struct Parts<'a> {
    /// With its `@`, or empty.
    user: &'a str,
    hosts: &'a str,
    /// With its `/`, or empty.
    path: &'a str,
    /// With its `?`, or empty.
    query: &'a str,
}

impl<'a> Parts<'a> {
    fn of(rest: &'a str) -> Self {
        let (rest, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        Self {
            user,
            hosts,
            path,
            query,
        }
    }

    /// Reads each host as the URL that `url` makes of it.
    fn hosts(&self, url: impl Fn(&str) -> String) -> Result<Vec<Address>, String> {
        let hosts: Vec<&str> = self.hosts.split(',').collect();
        if hosts.len() > MAX_HOSTS {
            return Err(format!("more than {MAX_HOSTS} hosts"));
        }
        hosts
            .into_iter()
            .map(|host| match host {
                "" => Err("no host, or one too few".to_owned()),
                host => Address::parse(&url(host)),
            })
            .collect()
    }
}

/// Writes hosts and ports alone.
fn shown(hosts: &[Address]) -> String {
    let hosts: Vec<_> = hosts.iter().map(Address::host_and_port).collect();
    hosts.join(",")
}

fn has_port(host: &str) -> bool {
    host.rsplit(']').next().is_some_and(|end| end.contains(':'))
}

fn is_of_scheme(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)
}

/// What Redis allows for the name of a master.
fn is_of_service(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".-_".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exposed(place: &Place) -> Vec<&str> {
        place.hosts.iter().map(Address::expose).collect()
    }

    #[test]
    fn one_server_is_taken_as_it_is() {
        let place = Place::parse("rediss://u:s3cr3t@h:1/2?protocol=resp3").unwrap();
        assert_eq!(place.shape, Shape::Server);
        assert_eq!(exposed(&place), ["rediss://u:s3cr3t@h:1/2?protocol=resp3"]);
        assert!(place.is_tls());
    }

    #[test]
    fn every_node_of_a_cluster_has_the_same_login() {
        let place = Place::parse("rediss+cluster://u:s3,cr3t@a:1,[::1]:2/?protocol=resp3").unwrap();
        assert_eq!(place.shape, Shape::Cluster);
        assert_eq!(
            exposed(&place),
            [
                "rediss://u:s3,cr3t@a:1?protocol=resp3",
                "rediss://u:s3,cr3t@[::1]:2?protocol=resp3"
            ]
        );
        assert_eq!(place.to_string(), "rediss+cluster://a:1,[::1]:2");
    }

    #[test]
    fn sentinels_are_asked_without_the_login_of_the_servers() {
        let place = Place::parse("redis+sentinel://u:s3cr3t@a,[::1],c:1/my-master/3").unwrap();
        let service = "my-master".to_owned();
        assert_eq!(place.shape, Shape::Sentinel { service });
        assert_eq!(
            exposed(&place),
            ["redis://a:26379", "redis://[::1]:26379", "redis://c:1"]
        );
        assert_eq!(place.login.expose(), "redis://u:s3cr3t@master/3");
        assert_eq!(
            place.to_string(),
            "redis+sentinel://a:26379,[::1]:26379,c:1/my-master/3"
        );
        assert!(!place.is_tls() && place.has_sentinels());
    }

    #[test]
    fn a_mistyped_place_is_refused_without_being_repeated() {
        for text in [
            "redis+cluster://u:s3cr3t@",
            "redis+cluster://u:s3cr3t@a,,b",
            "redis+cluster://u:s3cr3t@a:1/3",
            "redis+cluster://u:s3cr3t@a:s3cr3t",
            "redis+cluster://u:s3cr3t/@a:1",
            "redis+sentinel://u:s3cr3t@a",
            "redis+sentinel://u:s3cr3t@a/",
            "redis+sentinel://u:s3cr3t@a/m/x",
            "redis+sentinel://u:s3cr3t/s3cr3t@a/m",
            "redis+sentinels://u:s3cr3t@a/m",
            "redis://u:s3cr3t@a:1,b:2",
            "redis//u:s3cr3t@a",
            "u:s3cr3t@a://",
            "http+cluster://u:s3cr3t@a",
            &format!("redis+cluster://u:s3cr3t@a{}", ",a".repeat(MAX_HOSTS)),
        ] {
            let error = Place::parse(text).unwrap_err();
            assert!(!error.contains("s3cr3t"), "{text}: {error}");
        }
    }
}

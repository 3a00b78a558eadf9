//! Whole files: what loads and what is refused.

mod documented;
mod hostile;
mod keys;
mod redaction;
mod untold;

use std::collections::BTreeMap;
use std::fs;

use secrecy::ExposeSecret;

use super::*;
use crate::ledger::LedgerUrl;
use crate::provider::definition::IdenticalContent;
use crate::publisher::PublisherUrl;

/// A file that sets every key.
const FULL: &str = r#"
allow_inline_secrets = true

[server]
listen = "127.0.0.1:8081"
admin_listen = "127.0.0.1:9091"
public_url = "https://hooks.example.com/in"
trusted_proxies = ["10.0.0.0/8", "2001:db8::1"]
shutdown_grace = "20s"
header_timeout = "5s"
body_timeout = "15s"
max_connections = 500
max_in_flight_bytes = "64MiB"
log_format = "json"
log_level = "debug"

[ledger]
url = "env:LEDGER_URL"
durability = "replicas:2"
retention = "48h"
timeout = "1s"
spool = "sqlite:/var/lib/hookgate/spool.db"
dedupe_window = "3d"
replay_window = "2w"

[publisher]
url = "amqp://rabbit:5672/%2f,amqp://rabbit2:5672/%2f"
exchange = "events"
routing_key = "{tenant}.{type}"
ack = "recorded"
ack_wait = "100ms"
lease = "20s"
confirm_timeout = "5s"
declare = "work"
max_in_flight = 64
retry_parked = "5m"

[limits]
rate = "100/s"
burst = 200
tenant_rate = "500/s"
max_body = "2MiB"

[providers]
directory = "/"

[keys]
allow_private = true
resolve = { "keys.example.com" = "10.0.0.7:443" }

[[endpoint]]
id = "acme-stripe"
tenant = "acme"
provider = "stripe"
path = "/in/stripe"
secrets = ["env:STRIPE", "s3cr3t-literal"]
scheme = "v1"
min_assurance = "body"
params = {}
tolerance = "10m"
credential_ref = "cred_acme"
events = ["charge.*", "invoice.paid"]
allow_ips = ["192.0.2.0/24"]
rate = "10/s"
max_body = 4096
state = "paused"
identical_content = "distinct"
spool = false
redact = { profile = "secrets", rules = [], keys = ["email"], paths = ["/data/*/name"], keep = ["/data/id"] }

[[endpoint]]
id = "acme-github"
tenant = "acme"
provider = "github"
secrets = ["env:GITHUB"]
"#;

fn env() -> BTreeMap<String, String> {
    let variables = [
        ("LEDGER_URL", "redis://user:s3cr3t-redis@redis:6379\n"),
        ("STRIPE", "s3cr3t-stripe"),
        ("GITHUB", "s3cr3t-github "),
        ("EMPTY", ""),
        ("SIGNING", keys::PRIVATE),
    ];
    variables
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

fn parse(text: &str) -> Result<Config, Problems> {
    Config::parse(text, "hookgate.toml", Path::new("/nonexistent"), &env())
}

fn problems(text: &str) -> Vec<String> {
    parse(text).unwrap_err().iter().map(str::to_owned).collect()
}

/// The problems of an endpoint that is right but for `line`, which stands in line 5.
fn endpoint_problems(line: &str) -> Vec<String> {
    let secrets = if line.starts_with("secrets") {
        ""
    } else {
        "secrets = [\"env:STRIPE\"]"
    };
    problems(&format!(
        "[[endpoint]]\nid = \"a\"\ntenant = \"t\"\nprovider = \"stripe\"\n{line}\n{secrets}\n"
    ))
}

fn only(problems: Vec<String>) -> String {
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems.concat()
}

#[test]
fn a_spool_is_a_file_beside_a_redis_ledger() {
    let ledger = |lines: &str| only(problems(&format!("[ledger]\n{lines}\n")));
    let alone = ledger("spool = \"sqlite:spool.db\"");
    assert!(alone.contains("goes with a redis ledger"), "{alone}");
    for spool in ["redis://h", "spool.db", "sqlite:", "sqlite::memory:"] {
        let lines = format!("url = \"redis://h\"\nspool = \"{spool}\"");
        let refused = ledger(&lines);
        assert!(refused.contains("`spool` must be"), "{refused}");
    }
}

#[test]
fn every_key_can_be_set() {
    let config = parse(FULL).unwrap();
    let server = &config.server;
    assert_eq!(
        server.public_url.as_ref().unwrap().join("/x"),
        "https://hooks.example.com/in/x"
    );
    assert_eq!(server.trusted_proxies.len(), 2);
    assert_eq!(
        (server.max_connections, server.max_in_flight_bytes),
        (500, 64 << 20)
    );
    let LedgerUrl::Redis(place) = &config.ledger.url else {
        panic!("{:?}", config.ledger)
    };
    assert_eq!(place.to_string(), "redis://redis:6379");
    assert_eq!(config.ledger.durability.to_string(), "replicas:2");
    assert_eq!(config.ledger.lease, Duration::from_secs(20));
    let spool = config.spool.as_ref().unwrap();
    assert_eq!(spool.path, Path::new("/var/lib/hookgate/spool.db"));
    assert!(matches!(&config.publisher.url, PublisherUrl::Amqp(brokers) if brokers.len() == 2));
    assert_eq!(config.publisher.declare.as_ref().unwrap().queue, "work");
    assert_eq!(config.publisher_max_in_flight, 64);
    assert_eq!(config.retry_parked, Some(Duration::from_mins(5)));
    assert_eq!(config.tenant_rate.unwrap().burst.get(), 500);
    assert_eq!(config.providers_dir.as_deref(), Some(Path::new("/")));
    assert!(config.keys.allow_private);
    let relay = config.keys.places["keys.example.com"][0];
    assert_eq!(relay.to_string(), "10.0.0.7:443");

    let [stripe, github] = &config.endpoints[..] else {
        panic!("{:?}", config.endpoints)
    };
    assert_eq!(
        (&*stripe.id, &*stripe.tenant, &*stripe.path),
        ("acme-stripe", "acme", "/in/stripe")
    );
    let secrets: Vec<&str> = stripe
        .secrets
        .iter()
        .map(|secret| secret.expose_secret())
        .collect();
    assert_eq!(secrets, ["s3cr3t-stripe", "s3cr3t-literal"]);
    assert_eq!(stripe.credential_ref.as_deref(), Some("cred_acme"));
    assert!(stripe.events[0].matches("charge.failed"));
    assert_eq!(
        stripe
            .rate
            .map(|rate| (rate.per_second.get(), rate.burst.get())),
        Some((10, 10))
    );
    assert_eq!((stripe.max_body, stripe.state), (4096, State::Paused));
    assert_eq!(stripe.identical_content, Some(IdenticalContent::Distinct));
    assert_eq!(stripe.redact.paths, ["/data/*/name"]);

    assert_eq!(github.path, "/hooks/acme-github");
    assert_eq!(
        github
            .rate
            .map(|rate| (rate.per_second.get(), rate.burst.get())),
        Some((100, 200))
    );
    assert_eq!((github.max_body, github.state), (2 << 20, State::Active));
}

#[test]
fn relative_files_start_at_the_directory_of_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("key"), "k").unwrap();
    let text = FULL.replace("\"env:GITHUB\"", "\"file:key\", \"file:./key\"");
    let path = dir.path().join("hookgate.toml");
    fs::write(&path, text).unwrap();
    let config = Config::load(&path, &env()).unwrap();
    assert_eq!(config.endpoints[1].secrets.len(), 2);
    assert!(config.watched_files().contains(&dir.path().join("key")));
}

#[test]
fn every_problem_is_reported_at_once_in_the_order_of_the_file() {
    let text = r#"[server]
liste = "0.0.0.0:1"
header_timeout = "10"
[ledger]
url = "postgres://u:s3cr3t@h/db"
[[endpoint]]
id = "A B"
tenant = "t"
provider = "strip"
secrests = ["env:STRIPE"]
[[endpoint]]
id = "b"
provider = "github"
secrets = ["env:NOWHERE", "file:none", "s3cr3t"]
state = "pause"
"#;
    let expected = [
        "hookgate.toml:2:1: unknown key `liste` in [server]; did you mean `listen`?",
        "hookgate.toml:3:18: `header_timeout` must be a whole number and one of ms, s, m, h, d, w, \
         such as \"300ms\" or \"72h\"",
        "hookgate.toml:5:7: `url` cannot be used: `postgres:` is no ledger; use sqlite:PATH, \
         redis://HOST:PORT, redis+cluster://HOST:PORT,HOST:PORT or redis+sentinel://HOST:PORT,HOST:PORT/SERVICE, \
         each with rediss for TLS",
        "hookgate.toml:7:6: `id` must be 1 to 63 of a-z, 0-9, `-` and `_`, beginning with a letter \
         or a digit",
        "hookgate.toml:9:12: there is no provider `strip`; did you mean `stripe`?",
        "hookgate.toml:10:1: unknown key `secrests` in [[endpoint]]; did you mean `secrets`?",
        "hookgate.toml:11:1: missing key `tenant` in [[endpoint]]",
        "hookgate.toml:14:12: `secrets` names the environment variable NOWHERE, which is not set; \
         export NOWHERE=… before starting",
        "hookgate.toml:14:27: `secrets` names the file /nonexistent/none, which cannot be read: No \
         such file or directory (os error 2)",
        "hookgate.toml:14:40: `secrets` is a literal secret; write \"env:NAME\" or \"file:PATH\" (a \
         literal loads only with allow_inline_secrets = true at the top of the file, for \
         demonstrations)",
        "hookgate.toml:15:9: `state` must be one of \"active\", \"paused\", \"disabled\", \
         \"setup\"; did you mean `paused`?",
    ];
    let found = problems(text);
    assert_eq!(found, expected);
    assert_eq!(parse(text).unwrap_err().to_string(), found.join("\n"));
}

#[test]
fn a_syntax_error_is_reported_with_its_place_and_nothing_follows_from_it() {
    let found = only(problems("[[endpoint]]\nid = \"a\"\ntenant = s3cr3t\n"));
    assert!(
        found.starts_with("hookgate.toml:3:10: not valid TOML: "),
        "{found}"
    );
    let found = only(problems("[server]\n[server]\n"));
    assert_eq!(found, "hookgate.toml:2:2: not valid TOML: duplicate key");
}

#[test]
fn an_id_or_path_taken_twice_is_reported_with_the_first_place() {
    let text = FULL.replace("\"acme-github\"", "\"acme-stripe\"");
    let found = only(problems(&text));
    assert!(
        found.ends_with("`id` `acme-stripe` is already taken at hookgate.toml:52:6"),
        "{found}"
    );
    let text = FULL.replace("/in/stripe", "/hooks/acme-github");
    let found = only(problems(&text));
    assert!(found.contains("`path` `/hooks/acme-github` is already taken at hookgate.toml:55:8"));
}

#[test]
fn each_setting_of_an_endpoint_is_checked() {
    let too_many = format!("secrets = [{}]", "\"env:STRIPE\",".repeat(MAX_SECRETS + 1));
    for (line, expected) in [
        (
            "secrets = []",
            "5:11: `secrets` must hold at least one for this provider",
        ),
        ("", "1:1: `secrets` must hold at least one"),
        (&too_many, "5:11: `secrets` must be a list of at most 16"),
        (
            "secrets = \"env:STRIPE\"",
            "5:11: `secrets` must be a list of strings",
        ),
        (
            "secrets = [\"env:EMPTY\"]",
            "5:12: `secrets` refers to an empty or blank value (from environment variable EMPTY)",
        ),
        ("path = \"hooks/a\"", "5:8: `path` must start with `/`"),
        ("path = \"/a?b\"", "5:8: `path` must not have a query"),
        (
            "events = []",
            "5:10: `events` must be left out to accept all",
        ),
        (
            "events = [\"a\", \"\"]",
            "5:16: `events` must not hold an empty pattern",
        ),
        (
            "allow_ips = [\"10.0.0.1/8\"]",
            "5:14: `allow_ips` holds 10.0.0.1/8, which has bits set",
        ),
        ("rate = \"0/s\"", "5:8: `rate` must not be zero"),
        ("burst = 5", "5:9: `burst` needs a `rate`"),
        (
            "max_body = \"1GiB\"",
            "5:12: `max_body` must be from \"1B\" to \"256MiB\"",
        ),
        (
            "tolerance = \"0s\"",
            "5:13: `tolerance` must be from \"1s\" to \"1w\"",
        ),
        ("params = { a = 1 }", "5:16: `params` must be a string"),
        (
            "identical_content = \"sam\"",
            "5:21: `identical_content` must be one of",
        ),
        (
            "redact = { key = [] }",
            "5:12: unknown key `key` in [endpoint.redact]; did you mean `keys`?",
        ),
        (
            "redact = { paths = [\"a\"] }",
            "5:21: `paths` must hold paths that start with `/`",
        ),
        (
            "credential_ref = \"a b\"",
            "5:18: `credential_ref` must be 1 to 128 visible",
        ),
        (
            "provider2 = \"x\"",
            "5:1: unknown key `provider2` in [[endpoint]]; did you mean `provider`?",
        ),
    ] {
        let found = if line.is_empty() {
            only(problems(
                "[[endpoint]]\nid = \"a\"\ntenant = \"t\"\nprovider = \"stripe\"\n",
            ))
        } else {
            only(endpoint_problems(line))
        };
        assert!(
            found.starts_with(&format!("hookgate.toml:{expected}")),
            "{line}: {found}"
        );
    }
}

#[test]
fn each_setting_of_the_gateway_is_checked() {
    for (text, expected) in [
        (
            "endpoint = 1",
            "1:12: `endpoint` must be written as [[endpoint]]",
        ),
        (
            "[endpoint]\nid = \"a\"",
            "1:1: `endpoint` must be written as [[endpoint]]",
        ),
        ("[[endpoints]]\nid = \"a\"", "1:3: unknown key `endpoints`"),
        (
            "[server]\nlisten = \"8080\"",
            "2:10: `listen` must be an IP address and a port",
        ),
        (
            "[server]\nadmin_listen = \"127.0.0.1:8080\"",
            "2:16: `admin_listen` takes the same port",
        ),
        (
            "[server]\npublic_url = \"https://u:s3cr3t@h\"",
            "2:14: `public_url` must not hold a user",
        ),
        (
            "[ledger]\nurl = \"env:NOWHERE\"",
            "2:7: `url` names the environment variable NOWHERE",
        ),
        (
            "[ledger]\nurl = \"env:STRIPE\"",
            "2:7: `url` refers to a value that cannot be used: ",
        ),
        ("[ledger]\nurl = \"s3cr3t\"", "2:7: `url` cannot be used: "),
        (
            "[publisher]\nrouting_key = \"{typ}\"",
            "2:15: `routing_key` cannot be used: `{typ}` is no variable",
        ),
        (
            "[publisher]\nlease = \"1s\"\nconfirm_timeout = \"2s\"",
            "2:9: `lease` must not be shorter",
        ),
        (
            "[limits]\ntenant_burst = 5",
            "2:16: `tenant_burst` needs a `tenant_rate`",
        ),
        (
            "allow_inline_secrets = \"yes\"",
            "1:24: `allow_inline_secrets` must be true or false",
        ),
    ] {
        let found = only(problems(text));
        assert!(
            found.starts_with(&format!("hookgate.toml:{expected}")),
            "{text}: {found}"
        );
        assert!(!found.contains("s3cr3t"), "{text}: {found}");
    }
}

#[test]
fn a_body_that_can_never_fit_in_flight_is_reported() {
    let text = FULL.replace("\"64MiB\"", "\"1MiB\"");
    let found = only(problems(&text));
    assert!(found.contains("bodies of up to 2MiB never fit"), "{found}");
}

#[test]
fn one_of_lease_and_confirm_timeout_follows_the_other() {
    let config = parse("[publisher]\nlease = \"1s\"").unwrap();
    assert_eq!(config.publisher.confirm_timeout, Duration::from_secs(1));
    let config = parse("[publisher]\nconfirm_timeout = \"1m\"").unwrap();
    assert_eq!(config.ledger.lease, Duration::from_secs(60));
}

#[test]
fn an_endpoint_can_lift_the_default_rate() {
    let text = FULL.replace("rate = \"10/s\"", "rate = \"unlimited\"");
    assert_eq!(parse(&text).unwrap().endpoints[0].rate, None);
}

#[test]
fn likely_mistakes_load_with_a_warning() {
    let warnings = parse(FULL).unwrap().warnings;
    let expected = "`secrets` refers to a value that begins or ends with white space";
    assert!(
        warnings.iter().any(|line| line.contains(expected)),
        "{warnings:?}"
    );

    let text = "[publisher]\nurl = \"amqp://u:s3cr3t@h/x\"\n[server]\ntrusted_proxies = [\"::/0\"]";
    let warnings = parse(text).unwrap().warnings.join("\n");
    assert!(
        warnings.contains("hookgate.toml:2:7: `url` holds a password"),
        "{warnings}"
    );
    assert!(
        warnings.contains("hookgate.toml:4:19: `trusted_proxies` trusts everyone"),
        "{warnings}"
    );
    assert!(!warnings.contains("s3cr3t"), "{warnings}");
}

#[test]
fn a_file_that_cannot_be_read_is_reported_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hookgate.toml");
    let shown = |config: Result<Config, Problems>| config.unwrap_err().to_string();
    let found = shown(Config::load(&path, &env()));
    assert!(found.starts_with(&format!("{}: cannot be read: No such file", path.display())));
    fs::write(&path, b"a = \"\xff\"").unwrap();
    assert!(shown(Config::load(&path, &env())).ends_with("is not UTF-8 text (byte 5)"));
    fs::write(&path, vec![b'#'; MAX_FILE_BYTES + 1]).unwrap();
    assert!(shown(Config::load(&path, &env())).ends_with("is larger than 8MiB"));
}

#[test]
fn endpoints_beyond_the_bound_are_refused() {
    let found = problems(&"[[endpoint]]\n".repeat(MAX_ENDPOINTS + 1));
    assert_eq!(
        found[0],
        "hookgate.toml:1:1: there may be at most 10000 [[endpoint]]"
    );
}

#[test]
fn a_redaction_rule_that_cannot_be_used_is_reported_at_its_endpoint() {
    let text = "allow_inline_secrets = true\n[[endpoint]]\nid = \"a\"\ntenant = \"t\"\n\
                provider = \"github\"\nsecrets = [\"s3cr3t\"]\nredact = { paths = [\"/a~2\"] }\n";
    let problems = parse(text).unwrap_err().to_string();
    assert!(problems.starts_with("hookgate.toml:7:"), "{problems}");
    assert!(problems.contains("/a~2"), "{problems}");
}

#[test]
fn a_provider_that_signs_its_url_wants_to_know_the_public_one() {
    let text = "allow_inline_secrets = true\n[[endpoint]]\nid = \"a\"\ntenant = \"t\"\n\
                provider = \"twilio\"\nsecrets = [\"s3cr3t\"]\n";
    let warned = |text: &str| {
        let warnings = parse(text).unwrap().warnings;
        warnings
            .iter()
            .any(|warning| warning.contains("server.public_url"))
    };
    assert!(warned(text));
    assert!(!warned(&format!(
        "{text}[server]\npublic_url = \"https://h.example\"\n"
    )));
}

#[test]
fn an_endpoint_that_could_be_proved_by_less_than_it_asks_for_is_refused() {
    let endpoint = |more: &str| {
        format!(
            "[[endpoint]]\nid = \"a\"\ntenant = \"t\"\nprovider = \"telegram\"\n\
             secrets = [\"env:STRIPE\"]\n{more}\n"
        )
    };
    assert!(parse(&endpoint("min_assurance = \"token\"")).is_ok());
    let found = only(problems(&endpoint("min_assurance = \"fields\"")));
    assert!(
        found.contains("`min_assurance` is \"fields\", and Telegram"),
        "{found}"
    );
    let found = only(problems(&endpoint("min_assurance = \"bod\"")));
    assert!(found.contains("did you mean `body`?"), "{found}");
}

#[test]
fn the_settings_of_published_keys_are_checked() {
    let found = only(problems(
        "[keys]\nresolve = { \"a.example\" = \"b.example\" }\n",
    ));
    assert!(
        found.starts_with("hookgate.toml:2:27: `resolve` must name addresses"),
        "{found}"
    );
    let found = only(problems("[keys]\nca_file = \"none.pem\"\n"));
    assert!(
        found.contains("`ca_file`: cannot be read: No such file"),
        "{found}"
    );
}

#[test]
fn what_a_ledger_cannot_give_or_would_not_use_is_refused() {
    let ledger = |lines: &str| only(problems(&format!("[ledger]\n{lines}\n")));
    let found = ledger("durability = \"replicas:1\"");
    assert!(found.contains("a sqlite ledger has none"), "{found}");
    parse("[ledger]\ndurability = \"disk\"\n").unwrap();
    let found = ledger("durability = \"ram\"");
    assert!(
        found.contains("\"memory\", \"disk\" or \"replicas:N\""),
        "{found}"
    );
    let found = ledger("url = \"rediss://h\"\nca_file = \"none.pem\"");
    assert!(found.contains("`ca_file`: cannot be read"), "{found}");
    let found = ledger("url = \"redis+sentinel://h/m\"\nsentinel_password = \"s3cr3t\"");
    assert!(
        found.contains("literal secret") && !found.contains("s3cr3t"),
        "{found}"
    );
    let found = ledger("url = \"redis://h\"\nsentinel_password = \"env:STRIPE\"");
    assert!(
        found.contains("`sentinel_password` is for a `url` with +sentinel"),
        "{found}"
    );
    // Of a URL that cannot be used nothing follows.
    let rest =
        "spool = \"sqlite:x\"\ndurability = \"replicas:1\"\nsentinel_password = \"env:STRIPE\"";
    let found = ledger(&format!("url = \"redis+sentinel://h\"\n{rest}"));
    assert!(found.contains("/mymaster"), "{found}");
    let found = ledger("url = \"redis+sentinel://u:s3cr3t@h\"");
    assert!(
        found.contains("/mymaster") && found.contains("redis+cluster://"),
        "{found}"
    );
    assert!(!found.contains("s3cr3t"), "{found}");
}

#[test]
fn a_client_certificate_comes_with_its_key_and_both_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hookgate.toml");
    let load = |lines: &str| {
        fs::write(&path, format!("[ledger]\nurl = \"rediss://h\"\n{lines}\n")).unwrap();
        Config::load(&path, &env())
    };
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let pem = |label: &str, der: &[u8]| {
        let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
    };
    let write = |name, text: String| fs::write(dir.path().join(name), text).unwrap();
    write("chain.pem", pem("CERTIFICATE", certificate.der()));
    write("key.pem", pem("PRIVATE KEY", key.serialized_der()));
    let both =
        "client_cert_file = \"chain.pem\"\nclient_key_file = \"key.pem\"\nca_file = \"chain.pem\"";
    let access = load(both).unwrap().ledger.access;
    assert!(access.tls.roots.is_some() && access.tls.identity.is_some());
    assert!(!format!("{access:?}").contains("PRIVATE KEY"));

    fs::write(
        &path,
        "[ledger]\nurl = \"redis://h\"\nca_file = \"chain.pem\"\n",
    )
    .unwrap();
    let plain = Config::load(&path, &env()).unwrap_err().to_string();
    assert!(
        plain.contains("the `url` does not begin with `rediss`"),
        "{plain}"
    );
    let one = load("client_cert_file = \"chain.pem\"")
        .unwrap_err()
        .to_string();
    assert!(one.contains("of no use without `client_key_file`"), "{one}");
    let wrong = both.replace("key.pem", "chain.pem");
    let wrong = load(&wrong).unwrap_err().to_string();
    assert!(wrong.contains("the key in PEM cannot be read"), "{wrong}");
}

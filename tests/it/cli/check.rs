//! Configurations, good and bad, as `check` and `serve` report them.

use std::net::TcpListener;
use std::path::Path;

use super::run_with;

/// Nine mistakes in one file.
fn bad(listen: &str, admin: &str) -> String {
    format!(
        r#"[server]
listen = "{listen}"
admin_listen = "{admin}"
public_url = "ftp://hooks.example.com"

[ledger]
url = "sqllite:ledger.db"

[[endpoint]]
id = "one"
tenant = "acme"
provider = "strip"
secrests = ["env:HOOKGATE_TEST_SECRET"]
secrets = ["env:HOOKGATE_TEST_NOT_SET"]

[[endpoint]]
id = "two"
tenant = "acme"
provider = "github"
path = "/hooks/one"
secrets = ["file:missing", "file:blank", "env:HOOKGATE_TEST_SECRET"]

[[endpoint]]
id = "three"
tenant = "acme"
provider = "github"
"#
    )
}

const BAD_ANSWER: &str = "hookgate: the configuration cannot be used
bad.toml:4:14: `public_url` must be of the form https://HOST[:PORT][/PREFIX]
bad.toml:7:7: `url` cannot be used: no `scheme://` at its beginning; use sqlite:PATH, redis://HOST:PORT, redis+cluster://HOST:PORT,HOST:PORT or redis+sentinel://HOST:PORT,HOST:PORT/SERVICE, each with rediss for TLS
bad.toml:12:12: there is no provider `strip`; did you mean `stripe`?
bad.toml:13:1: unknown key `secrests` in [[endpoint]]; did you mean `secrets`?
bad.toml:14:12: `secrets` names the environment variable HOOKGATE_TEST_NOT_SET, which is not set; \
export HOOKGATE_TEST_NOT_SET=… before starting
bad.toml:20:8: `path` `/hooks/one` is already taken at bad.toml:10:6
bad.toml:21:12: `secrets` names the file missing, which cannot be read: No such file or directory (os error 2)
bad.toml:21:28: `secrets` refers to an empty or blank value (from blank)
bad.toml:23:1: `secrets` must hold at least one for this provider, such as secrets = [\"env:NAME\"]
";

const SECRET: (&str, &str) = ("HOOKGATE_TEST_SECRET", "s3cr3t-of-the-test");

fn good(ledger: &str) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n\
         [ledger]\nurl = \"{ledger}\"\n\
         [[endpoint]]\nid = \"one\"\ntenant = \"acme\"\nprovider = \"github\"\n\
         secrets = [\"env:HOOKGATE_TEST_SECRET\"]\n"
    )
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn every_mistake_is_reported_at_once_with_its_place_and_nothing_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    // Whoever binds what is taken says so: these ports are, and nobody may notice.
    let taken = ["127.0.0.1:0", "127.0.0.1:0"].map(|any| TcpListener::bind(any).unwrap());
    let [listen, admin] = [0, 1].map(|at| taken[at].local_addr().unwrap().to_string());
    std::fs::write(dir.path().join("bad.toml"), bad(&listen, &admin)).unwrap();
    std::fs::write(dir.path().join("blank"), " \n").unwrap();
    for command in ["serve", "check"] {
        let arguments = [command, "--config", "bad.toml"];
        let told = run_with(&arguments, dir.path(), &[SECRET], "").unusable();
        assert_eq!(told, BAD_ANSWER, "{command}");
    }
    assert_eq!(names(dir.path()), ["bad.toml", "blank"]);
}

#[test]
fn a_file_that_cannot_be_read_or_is_not_toml_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let check = |name: &str| {
        let arguments = ["check", "--config", name];
        run_with(&arguments, dir.path(), &[], "").unusable()
    };
    assert_eq!(
        check("none.toml"),
        "hookgate: the configuration cannot be used\n\
         none.toml: cannot be read: No such file or directory (os error 2)\n\
         name the file with --config FILE; docs/CONFIGURATION.md says what stands in it\n"
    );
    assert!(
        check(".").contains("\n.: cannot be read: "),
        "{}",
        check(".")
    );
    std::fs::write(dir.path().join("half.toml"), "[server]\nlisten = \"").unwrap();
    let told = check("half.toml");
    assert!(told.contains("\nhalf.toml:2:"), "{told}");
    assert!(told.contains(": not valid TOML: "), "{told}");
    std::fs::write(dir.path().join("binary.toml"), b"a = \"\xff\"").unwrap();
    let told = check("binary.toml");
    assert!(
        told.contains("binary.toml: is not UTF-8 text (byte 5)"),
        "{told}"
    );
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let config = good("sqlite:ledger.db").replace("env:HOOKGATE_TEST_SECRET", "s3cr3t-literal");
    std::fs::write(dir.path().join("hookgate.toml"), config).unwrap();
    // The file's name is the default one.
    let told = run_with(&["check"], dir.path(), &[], "").unusable();
    assert!(told.contains("hookgate.toml:10:12: `secrets` "), "{told}");
    assert!(!told.contains("s3cr3t"), "{told}");
}

#[test]
fn a_good_configuration_would_serve() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("good.toml"), good("sqlite:ledger.db")).unwrap();
    let arguments = ["check", "--config", "good.toml"];
    let told = run_with(&arguments, dir.path(), &[SECRET], "").done();
    for line in [
        "ok    configuration: 1 endpoint(s), every secret resolved",
        "ok    /hooks/one: GitHub for tenant acme, 1 secret(s)",
        "ok    ledger: sqlite:ledger.db is open and takes writes",
        "ok    publisher: signals go to standard output, one JSON line each",
    ] {
        assert!(told.lines().any(|told| told == line), "{line}: {told}");
    }
    assert!(
        told.ends_with("\nthis configuration would serve\n"),
        "{told}"
    );
    assert!(!told.contains(SECRET.1), "{told}");
    assert!(!told.contains("FAIL"), "{told}");
}

#[test]
fn a_ledger_out_of_reach_is_a_negative_answer_and_its_password_is_not_told() {
    let dir = tempfile::tempdir().unwrap();
    // A port that was free a moment ago and that nobody listens on.
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let redis = format!("redis://:s3cr3t-password@{free}");
    for (url, why) in [
        (redis.as_str(), "Connection refused"),
        ("sqlite:none/ledger.db", "No such file or directory"),
    ] {
        std::fs::write(dir.path().join("hookgate.toml"), good(url)).unwrap();
        let ran = run_with(&["check"], dir.path(), &[SECRET], "");
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let fault = ran.stdout.lines().find(|line| line.starts_with("FAIL"));
        let fault = fault.unwrap_or_else(|| panic!("{ran:?}"));
        assert!(fault.starts_with("FAIL  ledger: "), "{fault}");
        assert!(fault.contains(why), "{fault}");
        assert!(ran.stdout.ends_with("\nit would not serve\n"), "{ran:?}");
        assert!(!format!("{ran:?}").contains("s3cr3t"), "{ran:?}");

        if url == redis {
            // A server that is away may come: the gateway serves and is not ready until then.
            continue;
        }
        let ran = run_with(&["serve"], dir.path(), &[SECRET], "");
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert_eq!(ran.stdout, "");
        assert!(
            ran.stderr.contains("hookgate: cannot open the ledger"),
            "{ran:?}"
        );
        assert!(ran.stderr.contains(why), "{ran:?}");
        assert!(!format!("{ran:?}").contains("s3cr3t"), "{ran:?}");
    }
}

#[test]
fn a_spool_is_tried_also_where_its_ledger_is_away() {
    let dir = tempfile::tempdir().unwrap();
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut told = Vec::new();
    for spool in ["sqlite:spool.db", "sqlite:none/spool.db"] {
        let lines = format!("redis://{free}\"\nspool = \"{spool}");
        std::fs::write(dir.path().join("hookgate.toml"), good(&lines)).unwrap();
        let ran = run_with(&["check"], dir.path(), &[SECRET], "");
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let mut lines = ran.stdout.lines();
        let line = lines.find(|line| line.contains("  spool: ") || line.contains("    spool: "));
        told.push(line.unwrap_or_else(|| panic!("{ran:?}")).to_owned());
    }
    assert!(told[0].starts_with("ok    spool: open"), "{told:?}");
    assert!(told[1].starts_with("FAIL  spool: "), "{told:?}");
    assert!(told[1].contains("No such file or directory"), "{told:?}");
}

#[test]
fn a_port_that_is_taken_is_named_with_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for key in ["listen", "admin_listen"] {
        let line = format!("\n{key} = \"127.0.0.1:0\"");
        let config =
            good("sqlite:ledger.db").replacen(&line, &format!("\n{key} = \"{address}\""), 1);
        std::fs::write(dir.path().join("hookgate.toml"), config).unwrap();
        let ran = run_with(&["serve"], dir.path(), &[SECRET], "");
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let told =
            format!("hookgate: cannot listen on {address} (server.{key}): Address already in use");
        assert!(ran.stderr.contains(&told), "{ran:?}");
    }
}

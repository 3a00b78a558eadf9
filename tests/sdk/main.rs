//! The vendors' own SDKs against the real binary: what they sign the gateway accepts, and what the
//! gateway signs (`hookgate send`) they accept. One byte changed, and either side refuses.
//!
//! The SDKs live in `python.py` and `node.mjs`, and so do their cases: an SDK with a provider.
//! `tests/setup.sh` installs them. Without them these tests fail: nothing is skipped.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../it/support/line.rs"]
mod line;
#[expect(dead_code, reason = "shared with tests that need more of it")]
#[path = "../it/support/process.rs"]
mod process;
mod script;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use hookgate::clock;
use hookgate::provider::{Catalogue, Provider};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use process::{Gateway, Setup};
use script::{Call, Case, Script};

/// What providers call, as far as the gateway knows.
const PUBLIC_URL: &str = "https://hooks.example";
/// How long a condition may take to come true, and how often it is looked at.
const DEADLINE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(10);

#[tokio::test]
async fn python_sdks_and_the_gateway_take_what_the_other_signs() {
    run(Script::start(
        ".tools/sdk/bin/python",
        "tests/sdk/python.py",
    ))
    .await;
}

#[tokio::test]
async fn javascript_sdks_and_the_gateway_take_what_the_other_signs() {
    run(Script::start("node", "tests/sdk/node.mjs")).await;
}

/// Runs every case of a script in both directions, as far as its SDK goes, and reports all failures.
async fn run(mut script: Script) {
    let catalogue = Catalogue::builtin().unwrap();
    let (known, unknown): (Vec<Case>, Vec<Case>) = script
        .cases()
        .into_iter()
        .partition(|case| catalogue.get(&case.provider).is_some());
    let gateway = serving(&known).await;
    let mut failures = Vec::new();
    for (index, case) in known.iter().enumerate() {
        let provider = catalogue.get(&case.provider).unwrap();
        let url = format!("{PUBLIC_URL}{}", path(index));
        if case.signs {
            let call = script.sign(case, sample(provider, index, url.clone()));
            failures.extend(taken_by_the_gateway(&gateway, case, call).await);
        }
        if case.verifies {
            let call = sent_by_the_gateway(case, &url).await;
            failures.extend(taken_by_the_sdk(&mut script, case, call));
        }
    }
    let why = gateway.stderr();
    assert!(failures.is_empty(), "{}\n{why}", failures.join("\n"));
    let unknown: BTreeSet<_> = unknown.into_iter().map(|case| case.provider).collect();
    assert_eq!(unknown, BTreeSet::new(), "there is no definition of these");
}

fn path(index: usize) -> String {
    format!("/hooks/sdk-{index}")
}

/// Starts a gateway with an endpoint for each case.
async fn serving(cases: &[Case]) -> Gateway {
    let mut setup = Setup::new().server(&format!("public_url = \"{PUBLIC_URL}\""));
    for (index, case) in cases.iter().enumerate() {
        let secret = format!("SECRET_{index}");
        let mut lines = format!("secrets = [\"env:{secret}\"]\nparams = {{");
        let params = case.params.iter();
        let params: Vec<_> = params
            .map(|(key, value)| format!("{key} = {value:?}"))
            .collect();
        lines += &format!("{}}}\n", params.join(", "));
        if let Some(scheme) = &case.scheme {
            lines += &format!("scheme = {scheme:?}\n");
        }
        setup = setup
            .endpoint_with(&format!("sdk-{index}"), "acme", &case.provider, &lines)
            .environment(&secret, &case.secret);
    }
    setup.start().await
}

/// Makes the provider's sample event, unsigned.
fn sample(provider: &Provider, index: usize, url: String) -> Call {
    let now = clock::now().as_second().to_string();
    // Where the signed time stands in the body, an SDK puts its own.
    let fill = |text: &str, id: &str| {
        text.replace("$ID", id)
            .replace("$NOW", &now)
            .replace("$TIME", &now)
    };
    let id = format!("{index:024x}");
    let sample = &provider.sample;
    let mut headers: BTreeMap<_, _> = sample
        .headers
        .iter()
        .map(|(name, value)| (name.to_lowercase(), fill(value, &id)))
        .collect();
    headers.insert("content-type".to_owned(), sample.content_type.clone());
    // An SDK signs text, the gateway verifies bytes: ASCII alone would hide a difference.
    let body = fill(&sample.body, &format!("{id}-zoë-😀"));
    Call { url, headers, body }
}

/// Sends what an SDK signed, changed and as it is, and says what came out otherwise than it should.
async fn taken_by_the_gateway(gateway: &Gateway, case: &Case, call: Call) -> Vec<String> {
    let mut failures = Vec::new();
    for (call, expected) in [(call.changed(case), "401 Unauthorized"), (call, "accepted")] {
        let mut request = Request::post(call.url.strip_prefix(PUBLIC_URL).unwrap());
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        let answer = gateway.send(request.body(call.body.into()).unwrap()).await;
        let status = answer.status().to_string();
        let outcome = answer.headers().get("hookgate-outcome");
        let got = outcome.map_or(status.as_str(), |outcome| outcome.to_str().unwrap());
        if got != expected {
            let name = case.name();
            failures.push(format!(
                "{name}: what the SDK signed got {got}, not {expected}"
            ));
        }
    }
    failures
}

/// Has the SDK verify what the gateway signed, as it is and changed.
fn taken_by_the_sdk(script: &mut Script, case: &Case, call: Call) -> Vec<String> {
    let changed = call.changed(case);
    [(call, true), (changed, false)]
        .into_iter()
        .filter_map(|(call, expected)| {
            let (valid, why) = script.verify(case, call);
            let wrong = || {
                format!(
                    "{}: the SDK says {valid} {why}, not {expected}",
                    case.name()
                )
            };
            (valid != expected).then(wrong)
        })
        .collect()
}

/// Runs `hookgate send` against a listener of our own, and returns what it sent.
async fn sent_by_the_gateway(case: &Case, public_url: &str) -> Call {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut sender = Command::new(env!("CARGO_BIN_EXE_hookgate"))
        .args(sending(case, public_url))
        .arg(format!("http://{address}/"))
        .env("SECRET", case.private.as_ref().unwrap_or(&case.secret))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let caught = Mutex::new(None);
    let catch = async {
        let (stream, _) = listener.accept().await.unwrap();
        let answer = service_fn(async |request: Request<hyper::body::Incoming>| {
            let (parts, body) = request.into_parts();
            *caught.lock().unwrap() = Some((parts, body.collect().await.unwrap().to_bytes()));
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
        });
        let stream = TokioIo::new(stream);
        http1::Builder::new()
            .keep_alive(false)
            .serve_connection(stream, answer)
            .await
            .unwrap();
    };
    // It ends of itself, answered or not.
    tokio::select! {
        () = catch => {}
        () = until("the sender ends", async || sender.try_wait().unwrap().is_some()) => {}
    }
    sender.wait().unwrap();
    let caught = caught.into_inner().unwrap();
    let (parts, body) = caught.unwrap_or_else(|| panic!("{}: nothing was sent", case.name()));
    let value = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
    Call {
        // A token in the query is the URL's only change.
        url: parts.uri.query().map_or_else(
            || public_url.to_owned(),
            |query| format!("{public_url}?{query}"),
        ),
        headers: parts
            .headers
            .iter()
            .map(|(name, text)| (name.to_string(), value(text)))
            .collect(),
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}

fn sending(case: &Case, public_url: &str) -> Vec<String> {
    let mut arguments = [
        "send",
        "--secret",
        "env:SECRET",
        "--provider",
        &case.provider,
    ]
    .map(str::to_owned)
    .to_vec();
    let mut add = |option: &str, value: String| arguments.extend([option.to_owned(), value]);
    add("--public-url", public_url.to_owned());
    if let Some(scheme) = &case.scheme {
        add("--scheme", scheme.clone());
    }
    for (name, value) in &case.params {
        add("--param", format!("{name}={value}"));
    }
    for (name, value) in &case.headers {
        add("--header", format!("{name}: {value}"));
    }
    if case.ahead > 0 {
        add("--at", (clock::now().as_second() + case.ahead).to_string());
    }
    arguments
}

/// Waits until a condition holds, or fails the test and says what it waited for.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waited = async {
        while !holds().await {
            tokio::time::sleep(LOOK).await;
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, waited).await;
    assert!(in_time.is_ok(), "waited in vain until {what}");
}

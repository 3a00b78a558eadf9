//! What a gateway says when time, room or a key is wanting, and of what it has read until then.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Setup, Watch, keep_files};
use crate::promises::deliveries::{sample, set};
use crate::support::process::Gateway;
use crate::support::until;

/// Sends a delivery with a body of so many bytes, but for the last one.
async fn begin(watch: &mut Watch, gateway: &Gateway, bytes: usize) -> TcpStream {
    let body = format!("{{\"password\":\"{}\",", watch.plant("password on the way"));
    let [cookie, token] = ["cookie on the way", "token on the way"].map(|what| watch.plant(what));
    let beginning = format!(
        "POST /hooks/issues HTTP/1.1\r\nhost: gateway\r\ncookie: {cookie}\r\n\
         authorization: Bearer {token}\r\ncontent-length: {bytes}\r\n\r\n{body:<0$}",
        bytes - 1
    );
    let mut stream = TcpStream::connect(gateway.public()).await.unwrap();
    stream.write_all(beginning.as_bytes()).await.unwrap();
    stream
}

async fn keep_end(watch: &mut Watch, mut stream: TcpStream) {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(!answer.is_empty());
    watch.saw("an answer", answer);
}

fn setup(watch: &Watch, server: &str) -> Setup {
    let lines = "secrets = [\"env:GITHUB_SECRET\"]\nmax_body = \"64KiB\"";
    Setup::new()
        .server(&format!("log_level = \"trace\"\n{server}"))
        .environment("GITHUB_SECRET", &watch.secrets.github)
        .endpoint_with("issues", "acme", "github", lines)
}

#[tokio::test]
async fn out_of_room_or_time_no_secret_is_told() {
    let mut watch = Watch::new();
    let full = setup(&watch, "max_in_flight_bytes = \"64KiB\"");
    let mut gateway = full.start().await;
    let mut held = begin(&mut watch, &gateway, 64 << 10).await;
    gateway
        .until_metric("hookgate_in_flight_bytes", 64 << 10)
        .await;
    let mut issue = sample("github", "1");
    issue.body = format!(
        "{{\"password\":\"{}\"}}",
        watch.plant("password in no room")
    )
    .into();
    let github = watch.secrets.github.clone();
    let issue = watch.sign("github", &github, issue);
    watch
        .rejected(&gateway, "issues", &issue, "overloaded")
        .await;
    held.shutdown().await.unwrap();
    keep_end(&mut watch, held).await;
    watch.saw_admin(&gateway).await;
    assert_eq!(gateway.terminate().await, Some(0));
    watch.saw_output(&gateway);

    let slow = setup(&watch, "body_timeout = \"50ms\"");
    let mut gateway = slow.start().await;
    let late = begin(&mut watch, &gateway, 1000).await;
    keep_end(&mut watch, late).await;
    until("it is counted", async || {
        gateway.deliveries("rejected", "body_timeout").await == 1
    })
    .await;
    watch.saw_admin(&gateway).await;
    assert_eq!(gateway.terminate().await, Some(0));
    keep_files(&mut watch, &slow, "ledger.db");
    watch.saw_output(&gateway);
    watch.nothing_told(&[("stderr", "overloaded"), ("stderr", "body_timeout")]);
}

#[tokio::test]
async fn without_a_key_or_of_another_type_no_secret_is_told() {
    let mut watch = Watch::new();
    let host = "sns.us-west-2.amazonaws.com";
    let topics = "params = { topic_arns = 'arn:aws:sns:us-west-2:123456789012:MyTopic' }";
    let setup = setup(&watch, "public_url = \"https://hooks.example.com\"")
        .section(&format!(
            "[keys]\nallow_private = true\nresolve = {{ \"{host}\" = \"127.0.0.1:1\" }}\n"
        ))
        .environment("TWILIO_TOKEN", &watch.secrets.stripe)
        .endpoint_with("topics", "acme", "aws-sns", topics)
        .endpoint_with(
            "calls",
            "acme",
            "twilio",
            "secrets = [\"env:TWILIO_TOKEN\"]\nscheme = \"form\"",
        );
    let mut gateway = setup.start().await;
    let mut topic = sample("aws-sns", "1");
    let mut body: serde_json::Value = serde_json::from_slice(&topic.body).unwrap();
    body["Message"] = watch.plant("message of a topic").into();
    body["Signature"] = "c2ln".repeat(86).into();
    body["SigningCertURL"] = format!("https://{host}/SimpleNotificationService-0.pem").into();
    topic.body = body.to_string().into();
    watch
        .rejected(&gateway, "topics", &topic, "key_unavailable")
        .await;
    let mut call = sample("twilio", "1");
    set(&mut call, "content-type", "text/plain");
    set(
        &mut call,
        "x-twilio-signature",
        &format!("{}=", "A".repeat(27)),
    );
    call.body = format!("Body={}", watch.plant("text of a call")).into();
    watch
        .rejected(&gateway, "calls", &call, "content_type")
        .await;
    watch.saw_admin(&gateway).await;
    assert_eq!(gateway.terminate().await, Some(0));
    keep_files(&mut watch, &setup, "ledger.db");
    watch.saw_output(&gateway);
    watch.nothing_told(&[("stderr", "key_unavailable"), ("stderr", "content_type")]);
}

//! Rotating a secret: which one proves deliveries is counted, and shows when the old one can go.

use std::os::unix::fs::symlink;

use hookgate::clock;
use hookgate::delivery::Delivery;

use super::{Kind, gateway, kind, kinds, set};
use crate::support::gateway::{Gateway, replace};
use crate::support::until;

const VERIFIED: &str = "hookgate_secret_verified_total";
const LAST: &str = "hookgate_secret_last_verified_timestamp_seconds";

fn signer(secret: &str) -> Kind {
    Kind {
        secret: secret.into(),
        ..kind("github")
    }
}

/// The endpoint with a list of secrets.
fn endpoint(secrets: &[&str]) -> String {
    let list = secrets.join("\", \"");
    signer("SECRETS").endpoint().replace("SECRETS", &list)
}

/// Puts a configuration in force.
async fn reload(gateway: &Gateway, config: &str) {
    let before = gateway.logged("configuration reloaded").len();
    gateway.write_config(config);
    gateway.hang_up();
    until("the configuration is in force", async || {
        let now = gateway
            .metric("hookgate_reloads_total", &[("result", "ok")])
            .await;
        now as usize > before
    })
    .await;
}

async fn accepted(gateway: &Gateway, signer: &Kind, id: &str) {
    let seen = gateway.deliver(&signer.signed(id)).await;
    assert_eq!(seen.verdict(), (200, "accepted", "confirmed"));
}

/// Reads what was counted for each secret of the endpoint, in order, and which were used at all.
async fn counted(gateway: &Gateway, endpoint: &str) -> (Vec<f64>, Vec<bool>) {
    let text = gateway.admin("/metrics").await.body;
    let text = String::from_utf8(text.to_vec()).unwrap();
    let label = format!("endpoint=\"{endpoint}\"");
    let all = text.lines().filter(|line| line.starts_with(VERIFIED));
    let all = all.filter(|line| line.contains(&label));
    let (mut counts, mut used) = (Vec::new(), Vec::new());
    for place in 1..=all.count() {
        let place = place.to_string();
        let labels = [("endpoint", endpoint), ("secret", &*place)];
        counts.push(gateway.metric(VERIFIED, &labels).await);
        used.push(gateway.metric(LAST, &labels).await > 1_700_000_000.0);
    }
    (counts, used)
}

#[tokio::test]
async fn an_old_secret_is_seen_to_be_needed_no_more() {
    let (old, new) = (signer("the old secret"), signer("the new secret"));
    let gateway = Gateway::start(&endpoint(&["the old secret"])).await;
    assert_eq!(counted(&gateway, "github").await, (vec![0.0], vec![false]));
    accepted(&gateway, &old, "1").await;
    assert_eq!(counted(&gateway, "github").await, (vec![1.0], vec![true]));

    // A list that has changed begins anew: a place would stand for another secret than before.
    let both = endpoint(&["the old secret", "the new secret"]);
    reload(&gateway, &both).await;
    assert_eq!(
        counted(&gateway, "github").await,
        (vec![0.0; 2], vec![false; 2])
    );
    accepted(&gateway, &old, "2").await;
    accepted(&gateway, &new, "3").await;
    accepted(&gateway, &new, "4").await;
    // What is refused was proved by none, and a repeat was proved like the first.
    let strange = gateway.deliver(&signer("another").signed("5")).await;
    assert_eq!(strange.verdict().0, 401);
    let again = gateway.deliver(&new.signed("4")).await;
    assert_eq!(again.verdict(), (200, "duplicate", ""));
    let wanted = (vec![1.0, 3.0], vec![true, true]);
    assert_eq!(counted(&gateway, "github").await, wanted);

    // Another change of the endpoint takes nothing back.
    reload(&gateway, &(both + "max_body = \"2MiB\"\n")).await;
    assert_eq!(counted(&gateway, "github").await, wanted);

    reload(&gateway, &endpoint(&["the new secret"])).await;
    accepted(&gateway, &new, "6").await;
    assert_eq!(counted(&gateway, "github").await, (vec![1.0], vec![true]));
    let seen = gateway.deliver(&old.signed("7")).await;
    assert_eq!(seen.verdict().0, 401);
    gateway.finish().await;
}

#[tokio::test]
async fn every_way_of_proving_a_delivery_counts() {
    let kinds = kinds();
    let gateway = gateway(&kinds).await;
    for kind in &kinds {
        let seen = gateway.deliver(&kind.signed("100001")).await;
        assert_eq!(seen.verdict().1, "accepted", "{}", kind.id);
        let wanted = (vec![1.0], vec![true]);
        assert_eq!(counted(&gateway, kind.id).await, wanted, "{}", kind.id);
    }
    gateway.finish().await;
}

#[tokio::test]
async fn a_delivery_that_several_secrets_prove_counts_for_each() {
    let stripe = kind("stripe");
    let other = Kind {
        secret: "whsec_the_other".into(),
        ..kind("stripe")
    };
    let list = format!("{}\", \"whsec_unused\", \"{}", stripe.secret, other.secret);
    let config = stripe.endpoint().replace(&stripe.secret, &list);
    let gateway = Gateway::start(&config).await;
    // As Stripe signs for a day after a secret was rolled: with both, side by side.
    let now = clock::now();
    let mut delivery = stripe.signed_at(now, "1", |_| {});
    let value = |delivery: &Delivery| {
        let value = delivery.headers["stripe-signature"].to_str();
        value.unwrap().to_owned()
    };
    let others = value(&other.signed_at(now, "1", |_| {}));
    let (_, tag) = others.rsplit_once("v1=").unwrap();
    let both = format!("{},v1={tag}", value(&delivery));
    set(&mut delivery, "stripe-signature", &both);
    let seen = gateway.deliver(&delivery).await;
    assert_eq!(seen.verdict(), (200, "accepted", "confirmed"));
    let wanted = (vec![1.0, 0.0, 1.0], vec![true, false, true]);
    assert_eq!(counted(&gateway, "stripe").await, wanted);
    gateway.finish().await;
}

#[tokio::test]
async fn a_mounted_secret_is_replaced_by_moving_a_link() {
    // As Kubernetes mounts secrets: the file is a link through a link to a directory.
    let dir = tempfile::tempdir().unwrap();
    let mount = dir.path().join("mount");
    for (version, secret) in [("..1", "the old secret"), ("..2", "the new secret")] {
        std::fs::create_dir_all(mount.join(version)).unwrap();
        std::fs::write(mount.join(version).join("secret"), secret).unwrap();
    }
    // Not even the time of the file tells them apart.
    let stamp = std::fs::metadata(mount.join("..1/secret")).unwrap();
    let file = std::fs::File::options();
    let file = file.clone().write(true).open(mount.join("..2/secret"));
    file.unwrap()
        .set_modified(stamp.modified().unwrap())
        .unwrap();
    symlink("..1", mount.join("..data")).unwrap();
    symlink("..data/secret", mount.join("secret")).unwrap();

    let gateway = Gateway::start_in(dir, &endpoint(&["file:mount/secret"])).await;
    accepted(&gateway, &signer("the old secret"), "1").await;
    let mount = gateway.file("mount");
    symlink("..2", mount.join("..data_tmp")).unwrap();
    std::fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    until("the new secret is taken", async || {
        let seen = gateway.deliver(&signer("the new secret").signed("2")).await;
        seen.verdict().0 == 200
    })
    .await;
    let seen = gateway.deliver(&signer("the old secret").signed("3")).await;
    assert_eq!(seen.verdict().0, 401);

    // A file that is written anew in its place is noticed as well.
    replace(&mount.join("..2/secret"), "the third secret");
    until("the third secret is taken", async || {
        let seen = gateway
            .deliver(&signer("the third secret").signed("4"))
            .await;
        seen.verdict().0 == 200
    })
    .await;
    gateway.finish().await;
}

//! The least privileges that the documentation names are enough, and no more than that.

use hookgate::publisher::{Address, PublishError, Settings, Topology, open};
use hookgate::shutdown::Drain;

use super::{EXCHANGE, id, settings, until_ready};
use crate::support::rabbit::{Broker, Vhost};
use crate::support::signal;

/// The commands of the section on RabbitMQ, each as its words; the first user is the one for an
/// exchange that exists, the second the one that declares.
fn documented() -> [Vec<Vec<String>>; 2] {
    let page = include_str!("../../../docs/OPERATIONS.md");
    let section = page.split("\n## RabbitMQ\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1);
    let blocks = blocks.map(|rest| rest.split("```").next().unwrap().replace("\\\n", " "));
    let commands = |block: String| -> Vec<Vec<String>> {
        let words = |line: &str| -> Vec<String> {
            let words = line.split_whitespace();
            words
                .map(|word| word.trim_matches('\'').to_owned())
                .collect()
        };
        block.lines().map(words).collect()
    };
    let blocks: Vec<_> = blocks.map(commands).collect();
    blocks.try_into().expect("two blocks of commands")
}

/// Creates a user with the documented permissions, and returns its address.
async fn user(vhost: &Vhost<'_>, commands: &[Vec<String>]) -> Address {
    let name = format!("gateway-{}", vhost.name);
    vhost.broker.ctl(&["add_user", &name, "s3cr3t"]).await;
    for command in commands {
        let [program, action, user, rest @ ..] = &command[..] else {
            panic!("{command:?}");
        };
        assert_eq!((&**program, &**user), ("rabbitmqctl", "hookgate"));
        let mut arguments = vec![&**action, "-p", &vhost.name, &name];
        arguments.extend(rest.iter().map(String::as_str));
        vhost.broker.ctl(&arguments).await;
    }
    let port = vhost.broker.port();
    Address::parse(&format!(
        "amqp://{name}:s3cr3t@127.0.0.1:{port}/{}",
        vhost.name
    ))
    .unwrap()
}

#[tokio::test]
async fn what_the_documentation_grants_is_enough_to_publish_and_not_to_declare() {
    let vhost = Broker::shared().await.vhost().await;
    let mut inbox = vhost.inbox_of(EXCHANGE).await;
    let [commands, _] = documented();
    let address = user(&vhost, &commands).await;
    let publisher = open(&settings(vec![address.clone()]), &Drain::new())
        .await
        .unwrap();
    until_ready(&publisher, true).await;
    let signal = signal("stripe", "1");
    publisher.publish(&signal).await.unwrap();
    assert_eq!(id(&inbox.next().await), signal.signalid.to_string());

    let why = open(&declaring(address), &Drain::new()).await.unwrap();
    let why = why.probe().await.unwrap_err().to_string();
    assert!(why.contains("ACCESS_REFUSED"), "{why}");
}

#[tokio::test]
async fn what_the_documentation_grants_is_enough_to_declare() {
    let vhost = Broker::shared().await.vhost().await;
    let [_, commands] = documented();
    let address = user(&vhost, &commands).await;
    let publisher = open(&declaring(address), &Drain::new()).await.unwrap();
    let findings = publisher.probe().await.unwrap();
    assert!(
        findings.iter().any(|one| one.contains("`hookgate`")),
        "{findings:?}"
    );
    publisher.publish(&signal("stripe", "1")).await.unwrap();
    vhost.inbox("hookgate").await.next().await;
}

#[tokio::test]
async fn a_routing_key_that_topic_permissions_forbid_is_refused_and_its_neighbours_go_through() {
    let vhost = Broker::shared().await.vhost().await;
    let _inbox = vhost.inbox_of(EXCHANGE).await;
    let [mut commands, _] = documented();
    let topics = commands.last_mut().unwrap();
    assert_eq!(topics[4], "^");
    topics[4] = r"^acme\.stripe\.".to_owned();
    let address = user(&vhost, &commands).await;
    let publisher = open(&settings(vec![address]), &Drain::new()).await.unwrap();
    until_ready(&publisher, true).await;
    let signals: Vec<_> = (0..300)
        .map(|n| {
            let provider = if n % 100 == 50 { "github" } else { "stripe" };
            signal(provider, &n.to_string())
        })
        .collect();
    let results = signals.iter().map(|signal| publisher.publish(signal));
    let results = futures_util::future::join_all(results).await;
    for (signal, result) in signals.iter().zip(results) {
        match (&*signal.attributes.provider, result) {
            ("stripe", Ok(())) => {}
            ("github", Err(PublishError::Refused(why))) if why.contains("topic") => {}
            (provider, result) => panic!("{provider}: {result:?}"),
        }
    }
    assert!(*publisher.ready().borrow());
}

fn declaring(address: Address) -> Settings {
    let queue = "hookgate".to_owned();
    Settings {
        declare: Some(Topology { queue }),
        ..settings(vec![address])
    }
}

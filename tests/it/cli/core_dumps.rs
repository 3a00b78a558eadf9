//! Core dumps: the memory of the gateway holds secrets and bodies, and is written nowhere.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use super::run_with;
use crate::support::gateway::BINARY;
use crate::support::until;

/// The user that has no rights, by its number.
const NOBODY: u32 = 65534;

/// Starts a gateway that the system would let dump as much as it likes.
fn serve(binary: &Path, dir: &Path, allowed: bool) -> Command {
    let config = "[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n";
    std::fs::write(dir.join("hookgate.toml"), config).unwrap();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "ulimit -S -c $(ulimit -H -c); exec \"$0\" serve"])
        .arg(binary)
        .current_dir(dir)
        .env_remove("HOOKGATE_CORE_DUMPS")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if allowed {
        shell.env("HOOKGATE_CORE_DUMPS", "allow");
    }
    shell
}

/// Waits until it serves, by the file of its ledger.
async fn serving(child: &mut Child, dir: &Path) {
    until("the gateway serves", async || {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        dir.join("hookgate.db").exists()
    })
    .await;
}

async fn crash(mut child: Child) -> ExitStatus {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-ABRT", &pid]).status();
    assert!(sent.unwrap().success());
    let mut ended = None;
    until("the gateway crashes", async || {
        ended = child.try_wait().unwrap();
        ended.is_some()
    })
    .await;
    ended.unwrap()
}

/// Reads how many bytes of core a process may dump, and how many it may allow itself.
fn limits(process: &str) -> [String; 2] {
    let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max core"));
    let mut words = line.unwrap().split_whitespace().skip(4);
    std::array::from_fn(|_| words.next().unwrap().to_owned())
}

#[tokio::test]
async fn a_crash_leaves_no_core_unless_that_is_allowed() {
    let [_, most] = limits("self");
    for (allowed, bytes) in [(false, "0"), (true, &most)] {
        let dir = tempfile::tempdir().unwrap();
        let mut child = serve(Path::new(BINARY), dir.path(), allowed)
            .spawn()
            .unwrap();
        serving(&mut child, dir.path()).await;
        assert_eq!(limits(&child.id().to_string()), [bytes, bytes]);
        let ended = crash(child).await;
        assert_eq!(ended.signal(), Some(6));
        if !allowed {
            assert!(!ended.core_dumped());
            let files = std::fs::read_dir(dir.path()).unwrap();
            let names = files.map(|file| file.unwrap().file_name());
            let core = |name: &std::ffi::OsString| name.to_string_lossy().contains("core");
            assert!(!names.into_iter().any(|name| core(&name)));
        }
    }
}

#[tokio::test]
async fn other_processes_of_its_user_cannot_look_into_it() {
    let dir = tempfile::tempdir().unwrap();
    let own = std::fs::metadata(dir.path()).unwrap().uid();
    // What belongs to a user without rights tells more than what root may do.
    let (binary, user) = match own {
        0 => {
            std::os::unix::fs::chown(dir.path(), Some(NOBODY), None).unwrap();
            let copy = dir.path().join("gateway");
            std::fs::copy(BINARY, &copy).unwrap();
            (copy, NOBODY)
        }
        own => (BINARY.into(), own),
    };
    for (allowed, owner) in [(false, 0), (true, user)] {
        let mut command = serve(&binary, dir.path(), allowed);
        if own == 0 {
            command.uid(NOBODY);
        }
        let mut child = command.spawn().unwrap();
        serving(&mut child, dir.path()).await;
        // To whom the system lets its environment and its memory belong.
        let environment = std::fs::metadata(format!("/proc/{}/environ", child.id())).unwrap();
        assert_eq!(environment.uid(), owner, "allowed: {allowed}");
        crash(child).await;
        std::fs::remove_file(dir.path().join("hookgate.db")).unwrap();
    }
}

#[test]
fn only_one_word_allows_core_dumps() {
    for value in ["", "1", "yes"] {
        let variables = [("HOOKGATE_CORE_DUMPS", value)];
        let told = run_with(&["providers"], Path::new("."), &variables, "").unusable();
        assert!(told.contains("HOOKGATE_CORE_DUMPS is set"), "{told}");
    }
}

//! What the campaign shares with `tests/it`, which uses the rest of it.

#[expect(dead_code, reason = "shared with tests/it")]
#[path = "../it/promises/deliveries.rs"]
pub(crate) mod deliveries;
#[path = "../it/support/line.rs"]
pub(crate) mod line;
#[path = "../it/support/pki.rs"]
mod pki;
#[path = "../it/support/ports.rs"]
pub(crate) mod ports;
#[expect(dead_code, reason = "shared with tests/it")]
#[path = "../it/support/process.rs"]
pub(crate) mod process;
#[expect(dead_code, reason = "shared with tests/it")]
#[path = "../it/support/rabbit.rs"]
pub(crate) mod rabbit;
#[expect(dead_code, unused_imports, reason = "shared with tests/it")]
#[path = "../it/support/redis.rs"]
pub(crate) mod redis;
#[expect(dead_code, reason = "shared with tests/it")]
#[path = "../it/support/waiting.rs"]
mod waiting;
#[expect(dead_code, reason = "shared with tests/it")]
#[path = "../it/support/worker.rs"]
pub(crate) mod worker;

pub(crate) use self::waiting::{DEADLINE, until};

//! Ports for servers of a test's own.
//!
//! All are below those that the system gives to outgoing connections: a server that is away for a moment
//! finds its port free when it comes back.

use std::net::{Ipv4Addr, TcpListener};

/// With a Redis Cluster's second ports, 10000 above, which are nobody's first.
const FIRST: u16 = 10_000;
const MANY: u16 = 10_000;

/// Returns a port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let [port] = free_ports();
    port
}

/// Returns ports that were free a moment ago.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    // All are held until the last is found, or the same one could be found twice.
    let held = [(); N].map(|()| hold());
    held.map(|listener| listener.local_addr().unwrap().port())
}

fn hold() -> TcpListener {
    loop {
        let mut random = [0; 2];
        getrandom::fill(&mut random).unwrap();
        let port = FIRST + u16::from_ne_bytes(random) % MANY;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return listener;
        }
    }
}

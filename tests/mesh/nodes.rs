//! Systems of this process that have joined one another: each is a node, as one of another process would be.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use potluck::{Mesh, Peer, PeerOptions, PeerSystem, SystemOptions};

use crate::support::LONG;

/// An address that no other process and no other test listens on. Its port is below those that the operating system gives out.
pub(crate) fn address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{}:{}", host(), 10_000 + NEXT.fetch_add(1, Ordering::Relaxed) % 20_000)
}

/// The loopback address of this process alone.
pub(crate) fn host() -> String {
    let id = std::process::id();
    format!("127.{}.{}.{}", 64 + (id >> 16 & 63), id >> 8 & 255, id & 255)
}

/// A system of this name that joins.
pub(crate) fn open(system: &str, mesh: Mesh) -> PeerSystem {
    PeerSystem::open_with(system, SystemOptions::new().mesh(mesh)).unwrap()
}

/// Systems named `kitchen`, each of which sees all the others. The first is the one that the others connect to.
pub(crate) fn joined<const N: usize>(nodes: [&str; N]) -> [PeerSystem; N] {
    joined_with(nodes, |_| SystemOptions::new())
}

/// The same with options of their own.
pub(crate) fn joined_with<const N: usize>(
    nodes: [&str; N],
    options: impl Fn(&str) -> SystemOptions,
) -> [PeerSystem; N] {
    let first = address();
    let systems = nodes.map(|node| {
        let mesh = Mesh::new().node(node);
        let mesh = if node == nodes[0] { mesh.listen(&*first) } else { mesh.listen(address()).connect(&*first) };
        PeerSystem::open_with("kitchen", options(node).mesh(mesh)).unwrap()
    });
    for (system, own) in systems.iter().zip(nodes) {
        for node in nodes.into_iter().filter(|node| *node != own) {
            see(system, &format!("@{node}"));
        }
    }
    systems
}

/// Waits until a system sees a peer, or, by `@node`, a node.
pub(crate) fn see(system: &PeerSystem, peer: &str) {
    // On a busy machine a handshake with certificates takes seconds.
    system.wait_for(peer, 3 * LONG).unwrap_or_else(|error| panic!("{peer} is not seen: {error}"));
}

/// Spawns a peer on the node `at[0]`, which the systems of `at[1]` then see.
pub(crate) fn spawn_seen(on: &PeerSystem, node: &str, name: &str, options: PeerOptions, by: &[&PeerSystem]) -> Peer {
    let peer = on.spawn_with(name, options).unwrap();
    by.iter().for_each(|system| see(system, &format!("{name}@{node}")));
    peer
}

/// Two nodes, an ada with these options at the desk, and a bob without handlers at the laptop; they see each other.
pub(crate) struct Two {
    pub(crate) desk: PeerSystem,
    pub(crate) laptop: PeerSystem,
    pub(crate) ada: Peer,
    pub(crate) bob: Peer,
}

pub(crate) fn two() -> Two {
    two_with(PeerOptions::new())
}

pub(crate) fn two_with(ada: PeerOptions) -> Two {
    let [desk, laptop] = joined(["desk", "laptop"]);
    let ada = spawn_seen(&desk, "desk", "ada", ada, &[&laptop]);
    let bob = spawn_seen(&laptop, "laptop", "bob", PeerOptions::new(), &[&desk]);
    Two { desk, laptop, ada, bob }
}

/// Waits until something is so.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LONG;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        thread::park_timeout(Duration::from_millis(1));
    }
}

/// The text of a peer's resource, if it holds it.
pub(crate) fn text(peer: &Peer, name: &str) -> String {
    peer.get(name).map(|held| String::from_utf8_lossy(held.bytes()).into_owned()).unwrap_or_default()
}

/// Asserts that a call takes far less than its timeout.
pub(crate) fn at_once<T>(call: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = call();
    let took = begun.elapsed();
    assert!(took < LONG / 4, "it took {took:?}");
    result
}

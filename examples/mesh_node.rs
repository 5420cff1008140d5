//! A node of a mesh: one peer, which finds those of the other nodes, gets the dish of each, and exchanges gifts with one of them.
//! `c-examples/mesh.c` and `python/examples/mesh.py` are the same program: started in three terminals, the three find one another.
//!
//! `mesh_node [--others N] NAME LISTEN [CONNECT ...]`: the node NAME, with the peer NAME, listens on one address (`127.0.0.1:7447`), connects
//! to others, and waits for N others (2), for 30 s. Prints whom it sees, what it gets, and whose gift it has in the end: after the
//! alphabetically first node, and only that one, has exchanged with the last. What dish and gift hold is whose they are.

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;

use potluck::{Mesh, Peer, PeerSystem, SystemOptions};

const TIMEOUT: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut others = Some(2);
    if arguments.first().is_some_and(|first| first == "--others") {
        others = arguments.get(1).and_then(|number| number.parse().ok());
        arguments.drain(..arguments.len().min(2));
    }
    let (Some(others), [name, listen, connect @ ..]) = (others, &arguments[..]) else {
        eprintln!("usage: mesh_node [--others N] NAME LISTEN [CONNECT ...]");
        return ExitCode::from(2);
    };
    let mesh = connect.iter().fold(Mesh::new().node(name).listen(listen), Mesh::connect);
    match play(name, mesh, others) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mesh_node: {error}");
            ExitCode::FAILURE
        }
    }
}

fn play(name: &str, mesh: Mesh, others: usize) -> potluck::Result<()> {
    let kitchen = PeerSystem::open_with("kitchen", SystemOptions::new().mesh(mesh))?;
    let peer = kitchen.spawn(name)?;
    peer.share(&format!("dish/{name}"), name.to_owned())?;
    peer.share("gift", name.to_owned())?;

    // The peer here comes first, then those of the other nodes, as name@node.
    let events = kitchen.events(1024)?;
    while kitchen.peers()?.len() <= others {
        events.next(TIMEOUT)?;
    }
    let there = kitchen.peers()?.split_off(1);
    there.iter().for_each(|other| println!("{name} sees {other}"));
    let mut heard = HashMap::new();
    meet(&peer, &there, "ready", &mut heard)?;
    for other in &there {
        let dish = peer.request(other, &format!("dish/{}", other.split('@').next().unwrap_or_default()), TIMEOUT)?;
        println!("{name} gets {}'s dish from {other}", String::from_utf8_lossy(dish.bytes()));
    }
    if let [first, .., last] | [first @ last] = &there[..]
        && format!("{name}@{name}") < *first
    {
        let gift = peer.exchange(last, "gift", TIMEOUT)?;
        println!("{name} exchanges and gets {}'s gift from {last}", String::from_utf8_lossy(gift.bytes()));
    }
    // Whoever left before that would be missed.
    meet(&peer, &there, "done", &mut heard)?;
    println!("{name} has {}'s gift", String::from_utf8_lossy(peer.get("gift")?.bytes()));
    kitchen.shutdown(TIMEOUT)?;
    Ok(())
}

/// Tells all others, and waits until each of them has told the same; one may be a meeting ahead.
fn meet(peer: &Peer, there: &[String], kind: &str, heard: &mut HashMap<String, usize>) -> potluck::Result<()> {
    there.iter().try_for_each(|other| peer.tell(other, kind, "", TIMEOUT))?;
    while heard.get(kind).copied().unwrap_or_default() < there.len() {
        *heard.entry(peer.receive(TIMEOUT)?.kind().to_owned()).or_default() += 1;
    }
    Ok(())
}

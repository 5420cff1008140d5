//! The classic peer-to-peer example: each peer asks another one for its resource and replaces its own with what it gets.
//!
//! A requester tells its partner `RequestResource`. The partner's on_message, on its own thread, prints the first line and
//! offers its resource; the requester's on_received, on its own thread, prints the second and lets the host go on. Then one
//! message of another kind, what each peer holds, and the same exchange once more by mingle, printed from events.
//!
//! `classic [--peers N] [--seed S]`: the partners are the numbers of splitmix64(S), so all hosts print the same lines.

use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use potluck::{Error, Event, HandlerError, HandlerResult, Message, Peer, PeerOptions, PeerSystem, Resource};

const TIMEOUT: Duration = Duration::from_secs(10);
const RESOURCE: &str = "resource";

type AnyError = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let Some((peers, seed)) = arguments() else {
        eprintln!("usage: classic [--peers N] [--seed S]");
        return ExitCode::from(2);
    };
    if peers < 2 {
        eprintln!("--peers: an exchange needs at least 2");
        return ExitCode::from(2);
    }
    match play(peers, seed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("classic: {error}");
            ExitCode::FAILURE
        }
    }
}

fn play(count: usize, seed: u64) -> Result<(), AnyError> {
    let (arrived, arrivals) = channel();
    let system = PeerSystem::open("PeerSystem")?;
    let peers: Vec<Peer> = (1..=count).map(|number| join(&system, number, &arrived)).collect::<Result<_, _>>()?;

    exchange(&peers, seed, &arrivals)?;
    match peers[count - 1].ask("peer1", "Hello", "", TIMEOUT) {
        Err(Error::UnknownMessage { .. }) => {}
        other => return Err(format!("peer1 knows Hello: {other:?}").into()),
    }
    for peer in &peers {
        let held = peer.get(RESOURCE)?;
        println!("{} holds {} (version {} by {})", peer.name(), text(&held), held.version(), held.origin());
    }
    println!("mingle:");
    mingle(&system, &peers, seed)?;

    system.shutdown(TIMEOUT)?;
    println!("{} exchanges between {count} peers", 2 * count);
    Ok(())
}

/// A peer that plays along, with its first resource.
fn join(system: &PeerSystem, number: usize, arrived: &Sender<()>) -> potluck::Result<Peer> {
    let arrived = arrived.clone();
    let options = PeerOptions::new().on_message(on_message).on_received(move |peer, from, received| {
        println!("{} received resource from {from}: {}", peer.name(), text(received));
        // The host has gone only if it has given up.
        let _ = arrived.send(());
    });
    let peer = system.spawn_with(&format!("peer{number}"), options)?;
    peer.share(RESOURCE, format!("Peer {number}: Initial Resource"))?;
    Ok(peer)
}

fn on_message(peer: &Peer, message: &Message) -> HandlerResult {
    if message.kind() != "RequestResource" {
        println!("{} received unknown message", peer.name());
        return Err(HandlerError::UnknownMessage);
    }
    println!("{} received request from {}", peer.name(), message.from());
    Ok(peer.offer(message.from(), RESOURCE, TIMEOUT)?)
}

/// One after another, each peer gets the resource of a random other one.
fn exchange(peers: &[Peer], seed: u64, arrivals: &Receiver<()>) -> Result<(), AnyError> {
    let mut random = seed;
    for (i, peer) in peers.iter().enumerate() {
        let mut partner = (splitmix64(&mut random) % (peers.len() as u64 - 1)) as usize;
        if partner >= i {
            partner += 1;
        }
        peer.tell(peers[partner].name(), "RequestResource", peer.name().to_owned(), TIMEOUT)?;
        arrivals.recv_timeout(TIMEOUT)?;
    }
    Ok(())
}

/// The same in one call. Events carry no body; what a peer got is what it holds now.
fn mingle(system: &PeerSystem, peers: &[Peer], seed: u64) -> potluck::Result<()> {
    let events = system.events(1 << 20)?;
    system.mingle(RESOURCE, seed, TIMEOUT)?;
    loop {
        match events.next(Duration::ZERO) {
            Ok(Event::Requested { peer, by, .. }) => println!("{peer} received request from {by}"),
            Ok(Event::Received { peer, from, .. }) => {
                let held = peers.iter().find(|other| *other.name() == *peer).map(|peer| peer.get(RESOURCE));
                if let Some(held) = held {
                    println!("{peer} received resource from {from}: {}", text(&held?));
                }
            }
            Ok(_) => {}
            Err(Error::TimedOut) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

fn text(resource: &Resource) -> String {
    String::from_utf8_lossy(resource.bytes()).into_owned()
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn arguments() -> Option<(usize, u64)> {
    let (mut peers, mut seed) = (3, 1);
    let mut arguments = std::env::args().skip(1);
    while let Some(option) = arguments.next() {
        let value = arguments.next()?;
        match option.as_str() {
            "--peers" => peers = value.parse().ok()?,
            "--seed" => seed = value.parse().ok()?,
            _ => return None,
        }
    }
    Some((peers, seed))
}

//! What a process does that is told: a line is a tag, an order and its words; the answer begins with that tag. Orders are carried out at once,
//! each on a thread of its own.

use std::collections::HashMap;
use std::fmt::Debug;
use std::io::{BufRead, Write};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use potluck::{Bytes, HandlerError, Mesh, Peer, PeerOptions, PeerSystem, Resource, SystemOptions};

use crate::content::{digest, noise};
use crate::load::Load;
use crate::process::ROLE;

/// What the orders are about.
#[derive(Default)]
struct Role {
    system: OnceLock<PeerSystem>,
    peers: Mutex<HashMap<String, Peer>>,
    load: OnceLock<Load>,
}

type Done = Result<String, String>;

/// Of a process that is none of these it is a test that does nothing.
#[test]
fn a_process_that_does_what_it_is_told() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    // The harness is in the middle of a line.
    say("");
    let role = Arc::new(Role::default());
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let role = Arc::clone(&role);
        let carry_out = move || {
            let (tag, order) = line.split_once(' ').unwrap();
            let words: Vec<&str> = order.split(' ').filter(|word| !word.is_empty()).collect();
            match role.carry_out(&words) {
                Ok(result) => say(&format!("> {tag} ok {result}")),
                Err(error) => say(&format!("> {tag} err {error}")),
            }
        };
        thread::Builder::new().name("role".to_owned()).spawn(carry_out).unwrap();
    }
    // Whoever tells what to do is gone.
    std::process::exit(0);
}

/// In one piece, beside other threads.
pub(crate) fn say(line: &str) {
    // Nobody may be left to hear it.
    let _ = std::io::stdout().lock().write_all(format!("{line}\n").as_bytes());
}

impl Role {
    fn carry_out(&self, words: &[&str]) -> Done {
        match *words {
            ["open", ref options @ ..] => self.open(options),
            ["spawn", peer] => self.spawn(peer, PeerOptions::new()),
            ["spawn-cook", peer] => self.spawn(peer, PeerOptions::new().on_message(cook)),
            // Says by a resource that it has been asked, and takes its time.
            ["spawn-slow", peer, time_] => {
                let long = time(time_)?;
                let slow = move |me: &Peer, _: &str, _: &Resource| {
                    me.share("asked", "")?;
                    let end = Instant::now() + long;
                    while let Some(left) = end.checked_duration_since(Instant::now()) {
                        thread::park_timeout(left);
                    }
                    Ok(())
                };
                self.spawn(peer, PeerOptions::new().on_offer(slow))
            }
            ["close", peer] => said(self.peer(peer)?.close(number("10000").map(Duration::from_millis)?)),
            ["share", peer, name, len, seed] => {
                let shared = self.peer(peer)?.share(name, noise(number(seed)?, number(len)? as usize));
                done(shared, |shared| shared.version().to_string())
            }
            ["get", peer, name] => resource(self.peer(peer)?.get(name)),
            ["unshare", peer, name] => said(self.peer(peer)?.unshare(name)),
            ["request", peer, from, name, timeout] => resource(self.peer(peer)?.request(from, name, time(timeout)?)),
            ["fetch", peer, name, timeout] => resource(self.peer(peer)?.fetch(name, time(timeout)?)),
            ["exchange", peer, with, name, timeout] => resource(self.peer(peer)?.exchange(with, name, time(timeout)?)),
            ["offer", peer, to, name, timeout] => said(self.peer(peer)?.offer(to, name, time(timeout)?)),
            ["tell", peer, to, kind, body, timeout] => {
                said(self.peer(peer)?.tell(to, kind, body.to_owned(), time(timeout)?))
            }
            ["ask", peer, to, kind, body, timeout] => {
                resource(self.peer(peer)?.ask(to, kind, body.to_owned(), time(timeout)?))
            }
            ["receive", peer, timeout] => done(self.peer(peer)?.receive(time(timeout)?), |message| {
                format!("{} {} {}", message.from(), message.kind(), digest(message.bytes()))
            }),
            ["wait_for", peer, timeout] => said(self.system()?.wait_for(peer, time(timeout)?)),
            ["peers"] => done(self.system()?.peers(), |peers| peers.join(" ")),
            ["holders", name] => done(self.system()?.holders(name), |holders| {
                holders.into_iter().map(|holder| holder.peer).collect::<Vec<_>>().join(" ")
            }),
            ["nodes"] => done(self.system()?.snapshot(), |snapshot| format!("{:?}", snapshot.nodes)),
            ["shutdown", timeout] => done(self.system()?.shutdown(time(timeout)?), |report| format!("{report:?}")),
            ["threads"] => Ok(own_threads().join(" ")),
            ["descriptors"] => Ok(std::fs::read_dir("/proc/self/fd").unwrap().count().to_string()),
            // What is resident now, and from now on the most that ever is.
            ["memory-begin"] => {
                std::fs::write("/proc/self/clear_refs", "5").map_err(|error| error.to_string())?;
                Ok(memory("VmRSS:").to_string())
            }
            ["memory-most"] => Ok(memory("VmHWM:").to_string()),
            // A whole life of a system, several times.
            ["lives", count] => lives(number(count)?),
            ["load", ref options @ ..] => {
                let load = Load::begin(self.system()?, options)?;
                self.load.set(load).map_err(|_| "it has a load".to_owned())?;
                Ok(String::new())
            }
            ["load-end"] => Ok(self.load.get().ok_or("there is no load")?.end()),
            ["load-check"] => Ok(self.load.get().ok_or("there is no load")?.check_shelves()),
            _ => Err(format!("not an order: {words:?}")),
        }
    }

    fn open(&self, options: &[&str]) -> Done {
        let (mut mesh, mut system) = (Mesh::new(), "kitchen");
        let mut files = ["", "", ""];
        for option in options {
            let (name, value) = option.split_once('=').ok_or_else(|| format!("not an option: {option}"))?;
            mesh = match name {
                "node" => mesh.node(value),
                "listen" => mesh.listen(value),
                "connect" => mesh.connect(value),
                "allow" => mesh.allow(value),
                "lease" => mesh.lease(time(value)?),
                "gossip" => mesh.gossip(value == "on"),
                "everywhere" => mesh.listen_everywhere_without_tls(value == "on"),
                "ca" | "cert" | "key" => {
                    files[["ca", "cert", "key"].iter().position(|it| *it == name).unwrap_or(0)] = value;
                    mesh
                }
                "system" => {
                    system = value;
                    mesh
                }
                _ => return Err(format!("not an option: {option}")),
            };
        }
        if !files[0].is_empty() {
            mesh = mesh.tls(files[0], files[1], files[2]);
        }
        let opened = PeerSystem::open_with(system, SystemOptions::new().mesh(mesh));
        done(opened, |system| {
            self.system.set(system).unwrap_or_else(|_| panic!("it is open already"));
            String::new()
        })
    }

    fn spawn(&self, name: &str, options: PeerOptions) -> Done {
        done(self.system()?.spawn_with(name, options), |peer| {
            self.peers.lock().insert(name.to_owned(), peer);
            String::new()
        })
    }

    fn system(&self) -> Result<&PeerSystem, String> {
        self.system.get().ok_or_else(|| "it is not open".to_owned())
    }

    fn peer(&self, name: &str) -> Result<Peer, String> {
        self.peers.lock().get(name).cloned().ok_or_else(|| format!("{name} was not spawned"))
    }
}

/// Answers `taste`, and knows nothing else.
fn cook(_: &Peer, message: &potluck::Message) -> Result<(), HandlerError> {
    match message.kind() {
        "taste" => Ok(message.reply(Bytes::from_static(b"salt"))?),
        "note" => Ok(()),
        _ => Err(HandlerError::UnknownMessage),
    }
}

fn done<T>(result: potluck::Result<T>, text: impl FnOnce(T) -> String) -> Done {
    result.map(text).map_err(|error| format!("{error:?}"))
}

fn said<T: Debug>(result: potluck::Result<T>) -> Done {
    done(result, |value| format!("{value:?}"))
}

/// Its origin, version, size and digest.
fn resource(result: potluck::Result<Resource>) -> Done {
    done(result, |it| format!("{} {} {} {}", it.origin(), it.version(), it.len(), digest(it.bytes())))
}

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|error| format!("{word}: {error}"))
}

fn time(word: &str) -> Result<Duration, String> {
    number(word).map(Duration::from_millis)
}

/// In KiB.
fn memory(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The names of the threads that are the library's.
fn own_threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
    let mut names: Vec<String> =
        names.map(|name| name.trim().replace(' ', "_")).filter(|name| name.starts_with("potluck")).collect();
    names.sort();
    names
}

/// Two systems that join, exchange and are shut down, so often; gives how many descriptors there are then, and which threads.
fn lives(count: u64) -> Done {
    let begun = Instant::now();
    for _ in 0..count {
        let two = crate::nodes::two();
        two.ada.share("soup", "tomato").unwrap();
        two.bob.share("soup", "leek").unwrap();
        assert_eq!(two.bob.exchange("ada@desk", "soup", crate::support::LONG).unwrap().bytes(), b"tomato");
        for system in [two.laptop, two.desk] {
            let report = system.shutdown(crate::support::LONG).unwrap();
            assert_eq!(report.ended, potluck::Ended::Yes, "{report:?}");
        }
    }
    // The kernel may list a thread for a moment after it has been joined.
    let deadline = Instant::now() + crate::support::LONG;
    while !own_threads().is_empty() && Instant::now() < deadline {
        thread::park_timeout(Duration::from_millis(1));
    }
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
    Ok(format!("{descriptors} {} {}", begun.elapsed().as_millis(), own_threads().join(" ")))
}

//! The examples of the mesh as the README starts them: three processes, one in each language, that find one another on the loopback.
//!
//! `make test-mesh` builds a library with the mesh and says where it is by `POTLUCK_MESH_LIB_DIR`.

#[path = "tools/mod.rs"]
mod tools;

use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use tools::{c_compiler, run};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const README: &str = include_str!("../README.md");

/// Each of them waits for 30 s for each thing that it waits for; all that they do takes some two.
const DEADLINE: Duration = Duration::from_secs(90);

fn library_folder() -> PathBuf {
    let folder = std::env::var_os("POTLUCK_MESH_LIB_DIR").map(PathBuf::from);
    folder.expect("POTLUCK_MESH_LIB_DIR says where a library with the mesh is: run `make test-mesh`")
}

/// A program in C with the library.
fn compiled(source: &str) -> PathBuf {
    let (source, libraries) = (Path::new(ROOT).join(source), library_folder());
    let name = source.file_stem().expect("a source has a name").to_string_lossy();
    let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-with-mesh"));
    let mut cc = Command::new(c_compiler());
    cc.args(["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Werror"]).arg(format!("-I{ROOT}/include"));
    cc.arg(source).arg("-o").arg(&program).arg(format!("-L{}", libraries.display())).arg("-lpotluck");
    run(cc.arg(format!("-Wl,-rpath,{}", libraries.display())));
    program
}

/// The three commands of the README, each as its program and what follows.
fn commands() -> Vec<(&'static str, Vec<&'static str>)> {
    let (_, rest) = README.split_once("In three terminals").expect("the README says how they are started");
    let block = rest.split("```shell\n").nth(1).and_then(|block| block.split("```").next()).expect("in a block");
    block
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(program, rest)| (program, rest.split(' ').collect()))
        .collect()
}

/// What a command of the README starts here.
fn program(name: &str) -> Command {
    let mut command = match name {
        "target/release/examples/mesh_node" => {
            let deps = std::env::current_exe().expect("the test's own path");
            Command::new(deps.ancestors().nth(2).expect("target/<profile>").join("examples/mesh_node"))
        }
        "./mesh" => Command::new(compiled("c-examples/mesh.c")),
        "python3" => {
            let mut python = Command::new(std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned()));
            python.env("PYTHONPATH", Path::new(ROOT).join("python")).env("PYTHONDONTWRITEBYTECODE", "1");
            python.env("POTLUCK_LIBRARY", library_folder().join("libpotluck.so"));
            python
        }
        other => panic!("the README starts {other}"),
    };
    // Which library a program loads is written in it: not by the path that cargo gives, where another one may be.
    command.current_dir(ROOT).env_remove("LD_LIBRARY_PATH");
    command
}

/// Addresses that nobody listens on, as far as one can know.
fn addresses(count: usize) -> Vec<String> {
    let listeners: Vec<_> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("there is a loopback")).collect();
    listeners.iter().map(|listener| listener.local_addr().expect("it is bound").to_string()).collect()
}

/// A process that is killed unless it has ended by itself.
struct Node {
    child: Child,
    printed: [Receiver<String>; 2],
}

impl Node {
    fn start(mut command: Command) -> Node {
        let started = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = started.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (out, err) = (child.stdout.take().expect("it is piped"), child.stderr.take().expect("it is piped"));
        Node { printed: [read(out), read(err)], child }
    }

    /// What it has printed, once it has ended well.
    fn end(mut self, deadline: Instant) -> String {
        let printed = self.printed.each_ref().map(|printed| printed.recv_deadline(deadline));
        let [Ok(out), Ok(err)] = printed else {
            drop(self.child.kill());
            let said = self.printed.each_ref().map(|printed| printed.recv_timeout(Duration::from_secs(10)));
            panic!("it does not end: {said:?}");
        };
        let status = self.child.wait().expect("it is a child");
        assert!(status.success() && err.is_empty(), "{status}\n{out}{err}");
        out
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All that comes until the end.
fn read(mut from: impl Read + Send + 'static) -> Receiver<String> {
    let (give, get) = bounded(1);
    let reads = move || {
        let mut text = String::new();
        let read = from.read_to_string(&mut text);
        // Nobody waits for it any more where the test has failed.
        let _ = give.send(read.map_or_else(|error| error.to_string(), |_| text));
    };
    std::thread::Builder::new().name("test:reader".to_owned()).spawn(reads).expect("a thread");
    get
}

/// What a node prints.
fn expected(name: &str, all: &[&str]) -> String {
    let mut sorted = all.to_vec();
    sorted.sort_unstable();
    let (first, last) = (sorted[0], sorted[sorted.len() - 1]);
    let others: Vec<&str> = sorted.into_iter().filter(|other| *other != name).collect();
    let mut lines: Vec<String> = others.iter().map(|other| format!("{name} sees {other}@{other}")).collect();
    lines.extend(others.iter().map(|other| format!("{name} gets {other}'s dish from {other}@{other}")));
    if name == first {
        lines.push(format!("{name} exchanges and gets {last}'s gift from {last}@{last}"));
    }
    let gift = if name == first {
        last
    } else if name == last {
        first
    } else {
        name
    };
    lines.push(format!("{name} has {gift}'s gift\n"));
    lines.join("\n")
}

#[test]
fn three_processes_one_in_each_language_find_one_another_and_exchange() {
    let commands = commands();
    let names: Vec<&str> =
        commands.iter().map(|(_, words)| words[words.iter().position(is_address).expect("an address") - 1]).collect();
    assert_eq!(names.len(), 3, "three terminals: {commands:?}");
    let mut shown: Vec<&str> = commands.iter().flat_map(|(_, words)| words).copied().filter(is_address).collect();
    shown.sort_unstable();
    shown.dedup();
    // Each language is once the first, the last, and neither.
    for turn in 0..names.len() {
        let free = addresses(shown.len());
        let here = |word: &&str| {
            let name = names.iter().position(|name| name == word).map(|at| names[(at + turn) % names.len()].to_owned());
            let address = shown.iter().position(|address| address == word).map(|at| free[at].clone());
            name.or(address).unwrap_or_else(|| (*word).to_owned())
        };
        let deadline = Instant::now() + DEADLINE;
        let start = |(name, words): &(&str, Vec<&str>)| {
            let mut command = program(name);
            command.args(words.iter().map(here));
            Node::start(command)
        };
        let nodes: Vec<Node> = commands.iter().map(start).collect();
        for (node, name) in nodes.into_iter().zip(&names) {
            assert_eq!(node.end(deadline), expected(&here(name), &names));
        }
    }
}

fn is_address(word: &&str) -> bool {
    word.starts_with("127.0.0.1:")
}

#[test]
fn two_are_enough_if_no_more_are_waited_for() {
    let free = addresses(2);
    let node = |name: &str, addresses: &[&String]| {
        let mut command = program("target/release/examples/mesh_node");
        command.args(["--others", "1", name]).args(addresses);
        Node::start(command)
    };
    let deadline = Instant::now() + DEADLINE;
    let (ada, bob) = (node("ada", &[&free[0]]), node("bob", &[&free[1], &free[0]]));
    assert_eq!(ada.end(deadline), expected("ada", &["ada", "bob"]));
    assert_eq!(bob.end(deadline), expected("bob", &["ada", "bob"]));
}

/// What of the options is wrong is said, and what is right opens a system.
#[test]
fn the_options_in_c_are_as_the_header_says() {
    let printed = run(Command::new(compiled("tests/c/api_mesh.c")).env_remove("LD_LIBRARY_PATH"));
    assert!(printed.contains("checks passed"), "{printed}");
}

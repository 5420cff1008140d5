//! Real processes: this binary again, told line by line what to do. Each is killed, by its id, when its owner goes.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parking_lot::Mutex;

use crate::nodes::{address, until};
use crate::support::LONG;

/// What makes a process of this binary one that is told what to do; its value is nothing.
pub(crate) const ROLE: &str = "POTLUCK_MESH_ROLE";

/// What it answers, after its tag: `ok` and the result, or `err` and the error.
pub(crate) type Answer = Result<String, String>;

pub(crate) struct Process {
    child: Mutex<Child>,
    orders: Mutex<ChildStdin>,
    heard: Arc<Heard>,
    next: AtomicU64,
    reader: Option<JoinHandle<()>>,
    pub(crate) node: String,
    pub(crate) address: String,
}

/// What its process has said.
#[derive(Default)]
struct Heard {
    answers: Mutex<HashMap<String, Sender<Answer>>>,
    faults: Mutex<Vec<String>>,
}

/// An order that is being carried out.
pub(crate) struct Order {
    answer: Receiver<Answer>,
    line: String,
}

impl Process {
    /// A process that has opened no system yet.
    pub(crate) fn start(node: &str, address: &str) -> Process {
        Process::start_by(Command::new(std::env::current_exe().unwrap()), node, address)
    }

    /// The same by a command that runs this binary.
    pub(crate) fn start_by(mut command: Command, node: &str, address: &str) -> Process {
        command.args(["--exact", "role::a_process_that_does_what_it_is_told", "--nocapture"]).env(ROLE, "");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (orders, said) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let heard = Arc::new(Heard::default());
        let hears = Arc::clone(&heard);
        let reader = thread::Builder::new().name("test:reader".to_owned()).spawn(move || hears.all(said)).unwrap();
        Process {
            child: Mutex::new(child),
            orders: Mutex::new(orders),
            heard,
            next: AtomicU64::new(0),
            reader: Some(reader),
            node: node.to_owned(),
            address: address.to_owned(),
        }
    }

    /// A process with a system named `kitchen` that is this node and connects to those.
    pub(crate) fn open(node: &str, connect: &[&str]) -> Process {
        let process = Process::start(node, &address());
        process.join(connect, "");
        process
    }

    /// Opens its system; `more` as for the order `open`.
    pub(crate) fn join(&self, connect: &[&str], more: &str) {
        let connect: Vec<String> = connect.iter().map(|to| format!("connect={to}")).collect();
        self.done(&format!("open node={} listen={} {} {more}", self.node, self.address, connect.join(" ")));
    }

    /// Has an order carried out, beside others.
    pub(crate) fn order(&self, line: &str) -> Order {
        let tag = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let (sender, answer) = bounded(1);
        self.heard.answers.lock().insert(tag.clone(), sender);
        // A process that is gone answers nothing, which is said where the answer is waited for.
        let _ = writeln!(self.orders.lock(), "{tag} {line}");
        Order { answer, line: format!("{}: {line}", self.node) }
    }

    /// Has an order carried out.
    pub(crate) fn call(&self, line: &str) -> Answer {
        self.order(line).answer()
    }

    /// Has an order carried out that must go well.
    pub(crate) fn done(&self, line: &str) -> String {
        self.call(line).unwrap_or_else(|error| panic!("{}: {line}: {error}", self.node))
    }

    /// What its load found wrong.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.heard.faults.lock().clone()
    }

    /// Ends it as a crash of its machine would, as far as it can tell.
    pub(crate) fn kill(&self) {
        let mut child = self.child.lock();
        // It may have ended before.
        let _ = child.kill();
        child.wait().unwrap();
    }

    /// Hangs it. A thread that runs goes on until another one has taken the signal: waits until all stand still.
    pub(crate) fn stop(&self) {
        self.signal(Signal::SIGSTOP);
        let stands = |task: std::io::Result<std::fs::DirEntry>| {
            let state = task.and_then(|task| std::fs::read_to_string(task.path().join("stat"))).unwrap_or_default();
            // The state follows the name, which is in parentheses.
            state.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
        };
        until("all threads stand still", || {
            let mut tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.lock().id())).unwrap();
            tasks.all(stands).then_some(())
        });
    }

    /// Lets it go on.
    pub(crate) fn go_on(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        // Its id is its own as long as nobody has waited for it, which only `kill` does.
        kill(Pid::from_raw(self.child.lock().id() as i32), signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if let Some(reader) = self.reader.take() {
            // It ends with what its process can say; whether it panicked is of no interest any more.
            let _ = reader.join();
        }
    }
}

impl Heard {
    fn all(&self, said: ChildStdout) {
        for line in BufReader::new(said).lines().map_while(Result::ok) {
            if let Some(fault) = line.strip_prefix("! ") {
                self.faults.lock().push(fault.to_owned());
            } else if let Some((tag, words)) = line.strip_prefix("> ").and_then(|line| line.split_once(' ')) {
                let answer = match words.split_once(' ') {
                    Some(("ok", result)) => Ok(result.to_owned()),
                    Some((_, error)) => Err(error.to_owned()),
                    None => Err(words.to_owned()),
                };
                if let Some(waits) = self.answers.lock().remove(tag) {
                    // Who does not want it any more has dropped the other end.
                    let _ = waits.send(answer);
                }
            }
        }
        // Nobody will answer these.
        self.answers.lock().clear();
    }
}

impl Order {
    pub(crate) fn answer(self) -> Answer {
        self.answer_within(2 * LONG)
    }

    pub(crate) fn answer_within(self, timeout: Duration) -> Answer {
        self.answer.recv_timeout(timeout).unwrap_or_else(|error| panic!("{}: no answer: {error}", self.line))
    }

    /// Whether it is still being carried out.
    pub(crate) fn is_waiting(&self) -> bool {
        self.answer.is_empty()
    }
}

/// The name of an error, of its text.
pub(crate) fn name(error: &str) -> &str {
    error.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default()
}

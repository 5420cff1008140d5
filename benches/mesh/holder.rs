//! The other process: ada with her resources, the bare engine and bare TCP.

use std::env;
use std::io::{BufRead, BufReader, Read, Write, stdin, stdout};
use std::process::{Child, ChildStdin, Command, Stdio};

use bytes::Bytes;
use potluck::{HandlerError, HandlerResult, Message, Peer, PeerOptions};

use crate::body::{self, CELLAR, LARGE, MIDDLE, SMALL};
use crate::engine::Answerer;
use crate::{Outcome, SOON, free_address, join, tcp};

pub(crate) const CELLAR_NAME: &str = "cellar";

/// A process of this program that holds something, and ends when this is dropped.
pub(crate) struct Process {
    child: Child,
    /// It ends when this does.
    _input: ChildStdin,
    /// What it said when it was ready.
    pub(crate) said: String,
}

impl Process {
    pub(crate) fn start(arguments: &[&str]) -> Outcome<Process> {
        let mut process = Command::new(env::current_exe()?);
        let mut child = process.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (input, output) = (child.stdin.take().ok_or("a pipe")?, child.stdout.take().ok_or("a pipe")?);
        let mut process = Process { child, _input: input, said: String::new() };
        BufReader::new(output).read_line(&mut process.said)?;
        if process.said.is_empty() {
            return Err(format!("{arguments:?} ended: {}", process.child.wait()?).into());
        }
        process.said.truncate(process.said.trim_end().len());
        Ok(process)
    }

    /// With SIGKILL.
    pub(crate) fn kill(&mut self) -> Outcome<()> {
        Ok(self.child.kill()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Says that this process is ready, and waits until the one that started it lets it end or is gone.
pub(crate) fn say_and_wait(ready: &str) -> Outcome<()> {
    println!("{ready}");
    stdout().flush()?;
    stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Where the other process can be reached.
pub(crate) struct Holder {
    _process: Process,
    pub(crate) node: String,
    pub(crate) engine: String,
    pub(crate) tcp: String,
}

impl Holder {
    pub(crate) fn start() -> Outcome<Holder> {
        let (node, engine) = (free_address()?, free_address()?);
        let process = Process::start(&["--holder", &node, &engine])?;
        Ok(Holder { tcp: process.said.clone(), _process: process, node, engine })
    }
}

/// All that the other process does.
pub(crate) fn hold(node: &str, engine: &str) -> Outcome<()> {
    let body = body::make(LARGE);
    let tcp = tcp::serve(body.clone())?;
    let _answerer = Answerer::open(engine, &body)?;
    let system = join("kitchen", node, &[])?;
    let (all, mut told) = (body.clone(), 0_u64);
    let ada = system
        .spawn_with("ada", PeerOptions::new().on_message(move |ada, message| hear(ada, message, &all, &mut told)))?;
    for size in [SMALL, MIDDLE, LARGE] {
        ada.share(&body::name(size), body.slice(..size))?;
    }
    ada.share(CELLAR_NAME, body.slice(..CELLAR))?;
    say_and_wait(&tcp)?;
    system.shutdown(SOON)?;
    Ok(())
}

fn hear(ada: &Peer, message: &Message, body: &Bytes, told: &mut u64) -> HandlerResult {
    match message.kind() {
        "tell" => *told += u64::from(message.bytes().len() == SMALL),
        "told" => message.reply(told.to_le_bytes().to_vec())?,
        "echo" => message.reply(message.body())?,
        // A new edition of the resource of that size.
        "cook" => {
            let size = usize::from_le_bytes(message.bytes().try_into()?);
            ada.share(&body::name(size), body.slice(..size))?;
            message.reply("")?;
        }
        kind => return Err(HandlerError::failed(format!("no message is called {kind}"))),
    }
    Ok(())
}

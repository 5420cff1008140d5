//! What there is to see of a system at one moment: the values, how they are taken, and their text as JSON.

use std::fmt::{self, Write};
use std::time::Duration;

use crate::core::{PeerCore, Stage, SystemCore};
use crate::doing::{Doing, Seen};
use crate::elsewhere::NodeSnapshot;
use crate::resource::Resource;

/// What the peers of a system are doing, so that a hang can be read; see [`PeerSystem::snapshot`](crate::PeerSystem::snapshot).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// The name of the system.
    pub system: String,
    /// Whether it has not been shut down.
    pub is_open: bool,
    /// Its peers, in the order of spawning.
    pub peers: Vec<PeerSnapshot>,
    /// The other nodes of the mesh, if the system has joined one, sorted by name.
    pub nodes: Vec<NodeSnapshot>,
    /// How many ids of each kind C programs hold, in all systems of this loaded library; empty for Rust, which has none.
    pub handles: Vec<(String, u64)>,
}

/// What one peer is doing; see [`Snapshot`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PeerSnapshot {
    /// Its name.
    pub peer: String,
    /// How far its life has come.
    pub stage: Stage,
    /// The messages in its mailbox.
    pub messages: u64,
    /// How many messages have been taken out of it so far: handled, received, or buried as dead letters.
    pub taken: u64,
    /// The resources on its shelf.
    pub resources: u64,
    /// How often another peer has got a resource from it so far, by request, fetch or exchange: as many `requested` events.
    pub requested: u64,
    /// How often it has got a resource from another peer so far, whoever called: as many `received` events.
    pub received: u64,
    /// The handler that its thread runs, if it runs one.
    pub handler: Option<RunningHandler>,
    /// The call that its thread waits in, if it waits in one.
    pub call: Option<WaitingCall>,
    /// How long its thread has been doing what it does: waiting in the call, else running the handler, else resting. Zero
    /// if it has none yet, or has just been made.
    pub since: Duration,
}

/// A handler that runs; see [`PeerSnapshot`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RunningHandler {
    /// Which one: `on_message` and so on.
    pub name: &'static str,
    /// Whose message, request or offer it handles; nobody's at the stop.
    pub from: Option<String>,
    /// The kind of the message, or the resource.
    pub what: Option<String>,
    /// For how long it has been running.
    pub since: Duration,
}

/// A call of a handler that waits; see [`PeerSnapshot`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WaitingCall {
    /// Which one: `request`, `ask` and so on.
    pub verb: &'static str,
    /// The peer that it waits for, if it waits for one.
    pub whom: Option<String>,
    /// The resource, or the kind of the message.
    pub what: Option<String>,
    /// For how long it has been waiting.
    pub since: Duration,
}

pub(crate) fn take(system: &SystemCore) -> Snapshot {
    Snapshot {
        system: system.name.to_string(),
        is_open: system.check_open().is_ok(),
        peers: system.registry.list().iter().map(|peer| take_of(peer)).collect(),
        nodes: system.elsewhere().map(|elsewhere| elsewhere.nodes()).unwrap_or_default(),
        handles: Vec::new(),
    }
}

/// Waits for no handler: each lock is held for a moment, and under none of them runs user code.
pub(crate) fn take_of(peer: &PeerCore) -> PeerSnapshot {
    let Seen { handler, call, rests } = peer.doing.get().map(Doing::see).unwrap_or_default();
    let handler = handler.map(|handler| {
        let (from, what) = handler.about.unzip();
        RunningHandler { name: handler.name, from: text(from), what: text(what), since: handler.since }
    });
    let call = call.map(|call| WaitingCall {
        verb: call.verb,
        whom: text(call.whom),
        what: text(call.what),
        since: call.since,
    });
    let waits = call.as_ref().map(|call| call.since);
    let runs = handler.as_ref().map(|handler| handler.since);
    let (resources, traffic) = {
        let side = peer.side.lock();
        (side.shelf.len() as u64, side.shelf.traffic)
    };
    PeerSnapshot {
        peer: peer.name.to_string(),
        stage: peer.life.stage(),
        messages: peer.mailbox.messages(),
        taken: peer.mailbox.taken(),
        resources,
        requested: traffic.requested,
        received: traffic.received,
        since: waits.or(runs).unwrap_or(rests),
        handler,
        call,
    }
}

fn text(name: Option<crate::sync::Arc<str>>) -> Option<String> {
    name.map(|name| name.to_string())
}

impl Snapshot {
    /// As JSON: the bytes of a resource named `snapshot`, from the system, of version 0. Durations are milliseconds.
    pub fn to_json(&self) -> Resource {
        let mut json = String::new();
        // Writing to a text does not fail.
        let _ = self.write_json(&mut json);
        Resource::new("snapshot".into(), self.system.as_str().into(), 0, json.into())
    }

    fn write_json(&self, out: &mut String) -> fmt::Result {
        write!(out, "{{\"system\":{},\"is_open\":{},\"peers\":", Quoted(&self.system), self.is_open)?;
        write_all(out, ['[', ']'], &self.peers, PeerSnapshot::write_json)?;
        out.push_str(",\"nodes\":");
        write_all(out, ['[', ']'], &self.nodes, NodeSnapshot::write_json)?;
        out.push_str(",\"handles\":");
        write_all(out, ['{', '}'], &self.handles, |(kind, live), out| write!(out, "{}:{live}", Quoted(kind)))?;
        out.push('}');
        Ok(())
    }
}

impl NodeSnapshot {
    fn write_json(&self, out: &mut String) -> fmt::Result {
        let NodeSnapshot { node, peers, calls, served, bytes_in, bytes_out, retries, failovers, denied, last_error } =
            self;
        write!(out, "{{\"node\":{},\"peers\":{peers},\"calls\":{calls},\"served\":{served}", Quoted(node))?;
        write!(out, ",\"bytes_in\":{bytes_in},\"bytes_out\":{bytes_out},\"retries\":{retries}")?;
        write!(out, ",\"failovers\":{failovers},\"denied\":{denied},\"last_error\":{}}}", Quoted(last_error))
    }
}

impl PeerSnapshot {
    /// What its thread is doing, as one line.
    pub fn doing(&self) -> String {
        let mut line = match (&self.handler, self.stage) {
            (Some(handler), _) => described(handler.name, "from", handler.what.as_deref(), handler.from.as_deref()),
            (None, Stage::Open) => "idle".to_owned(),
            (None, Stage::Closing) => "closing".to_owned(),
            (None, Stage::Ended) => "ended".to_owned(),
        };
        if let Some(call) = &self.call {
            line += ", waiting in ";
            line += &described(call.verb, "for", call.what.as_deref(), call.whom.as_deref());
        }
        line
    }

    fn write_json(&self, out: &mut String) -> fmt::Result {
        let stage = match self.stage {
            Stage::Open => "open",
            Stage::Closing => "closing",
            Stage::Ended => "ended",
        };
        write!(out, "{{\"peer\":{},\"stage\":\"{stage}\",\"messages\":{},", Quoted(&self.peer), self.messages)?;
        write!(out, "\"taken\":{},\"resources\":{},\"requested\":{},", self.taken, self.resources, self.requested)?;
        write!(out, "\"received\":{},\"doing\":{},", self.received, Quoted(&self.doing()))?;
        write!(out, "\"since_ms\":{},\"handler\":", self.since.as_millis() as u64)?;
        match &self.handler {
            Some(RunningHandler { name, from, what, since }) => {
                write!(out, "{{\"name\":\"{name}\",\"from\":{},\"what\":{},", OrNull(from), OrNull(what))?;
                write!(out, "\"since_ms\":{}}}", since.as_millis() as u64)?;
            }
            None => out.push_str("null"),
        }
        out.push_str(",\"call\":");
        match &self.call {
            Some(WaitingCall { verb, whom, what, since }) => {
                write!(out, "{{\"verb\":\"{verb}\",\"whom\":{},\"what\":{},", OrNull(whom), OrNull(what))?;
                write!(out, "\"since_ms\":{}}}", since.as_millis() as u64)?;
            }
            None => out.push_str("null"),
        }
        out.push('}');
        Ok(())
    }
}

fn described(name: &str, of: &str, what: Option<&str>, whom: Option<&str>) -> String {
    let what = what.map(|what| format!(" {what:?}")).unwrap_or_default();
    let whom = whom.map(|whom| format!(" {of} {whom:?}")).unwrap_or_default();
    format!("{name}{what}{whom}")
}

fn write_all<T>(
    out: &mut String,
    [open, close]: [char; 2],
    items: &[T],
    write: impl Fn(&T, &mut String) -> fmt::Result,
) -> fmt::Result {
    out.push(open);
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write(item, out)?;
    }
    out.push(close);
    Ok(())
}

/// A text as JSON has it.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for letter in self.0.chars() {
            match letter {
                '"' | '\\' => write!(f, "\\{letter}")?,
                control if control < ' ' => write!(f, "\\u{:04x}", control as u32)?,
                other => f.write_char(other)?,
            }
        }
        f.write_char('"')
    }
}

struct OrNull<'a>(&'a Option<String>);

impl fmt::Display for OrNull<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(text) => Quoted(text).fmt(f),
            None => f.write_str("null"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_as_json_wants_it() {
        assert_eq!(Quoted("a\"b\\c\n\u{1}ü\u{7f}/").to_string(), "\"a\\\"b\\\\c\\u000a\\u0001ü\u{7f}/\"");
    }
}

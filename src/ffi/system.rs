//! Systems.

use std::ffi::c_char;
use std::time::Duration;

use parking_lot::Mutex;

use super::events::{READERS, potluck_events_t};
use super::guard::{guard, guard_outcome};
use super::handle::{Held, Kind, Ref, Table};
use super::input::{self, CStruct};
use super::list::{self, LISTS, potluck_list_t};
use super::mesh::{self, potluck_mesh_options_t};
use super::message::MESSAGES;
use super::output;
use super::peer::PEERS;
use super::pending::PENDINGS;
use super::resource::{self, RESOURCES, potluck_resource_t};
use super::status::{POTLUCK_DEFERRED, POTLUCK_OK, POTLUCK_STILL_RUNNING, potluck_status_t};
use crate::{Ended, Error, PeerSystem, Result, SystemOptions};

/// A system: a name. Copies are free; `potluck_system_shutdown` ends it for all, then it answers POTLUCK_E_CLOSED. May be used from
/// several threads.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct potluck_system_t {
    /// 0 is none.
    pub id: u64,
}

/// No limit, where a limit is wanted.
pub const POTLUCK_NO_LIMIT: u64 = u64::MAX;

/// Limits and habits of a system. All 0 but the size: the defaults.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct potluck_system_options_t {
    /// sizeof(potluck_system_options_t).
    pub struct_size: usize,
    /// The most peers at a time; 0: no limit.
    pub peers_max: u64,
    /// The most messages in each mailbox; 0: 1024.
    pub mailbox_messages_max: u64,
    /// The most bytes of messages in each mailbox; 0: 64 MiB.
    pub mailbox_bytes_max: u64,
    /// The most bytes on each shelf; 0: no limit.
    pub shelf_bytes_max: u64,
    /// The most bytes of one resource; 0: no limit.
    pub resource_bytes_max: u64,
    /// How many dead letters are kept for reading; 0: 1024. All are counted.
    pub dead_letters_max: u64,
    /// 1: a peer's thread is made when there is first something to run on it, a callback; 0: at spawn. So peers that only share and request
    /// are cheap. If no thread can be made then, the tell, ask, request, offer or exchange that needed it answers
    /// LIMIT_REACHED, and so does the close of a peer with an on_stop; nothing has happened. A peer that never had a thread
    /// ends on the thread that closes it, where its `drop` runs.
    pub lazy_threads: u32,
    /// 1: a peer closes when one of its handlers fails.
    pub close_on_handler_failure: u32,
    /// How long Rust's last handle waits for the end when it is dropped, -1: for ever, 0: 1000. C's ids own nothing.
    pub drop_timeout_ms: i64,
    /// How it joins the systems of the same name in other processes; NULL: it joins none.
    pub mesh: *const potluck_mesh_options_t,
}

// SAFETY: a plain C struct of integers and pointers with `struct_size` first.
unsafe impl CStruct for potluck_system_options_t {}

static SYSTEMS: Table<Entry> = Table::new(Kind::System);

impl Held for Entry {}

/// A system and the ids of its peers, which end with it.
pub(super) struct Entry {
    pub(super) system: PeerSystem,
    peers: Mutex<PeerIds>,
}

struct PeerIds {
    ids: Vec<u64>,
    /// When so many are there, those that have ended are dropped.
    clean_at: usize,
}

const CLEAN_AT_FIRST: usize = 64;

impl Entry {
    /// Ends the ids of all peers, which have ended with the system.
    pub(super) fn end_ids(&self) {
        let ids = std::mem::take(&mut self.peers.lock().ids);
        ids.into_iter().for_each(|id| drop(PEERS.remove(id)));
    }

    /// Notes the id of a new peer.
    pub(super) fn add(&self, id: u64) {
        let to_clean = {
            let mut peers = self.peers.lock();
            peers.ids.push(id);
            if peers.ids.len() < peers.clean_at { Vec::new() } else { std::mem::take(&mut peers.ids) }
        };
        if to_clean.is_empty() {
            return;
        }
        // Under no lock: joining a thread may run the host's destructors.
        let mut live: Vec<u64> = to_clean.into_iter().filter(|id| PEERS.end_if_closed(*id)).collect();
        let mut peers = self.peers.lock();
        peers.ids.append(&mut live);
        peers.clean_at = (peers.ids.len() * 2).max(CLEAN_AT_FIRST);
    }
}

pub(super) fn find(system: potluck_system_t) -> Result<Ref<Entry>> {
    SYSTEMS.get_named(system.id)
}

/// The options that C has described.
///
/// # Safety
///
/// As for `mesh::mesh`.
unsafe fn system_options(options: &potluck_system_options_t) -> Result<SystemOptions> {
    let made = SystemOptions::new().close_on_handler_failure(options.close_on_handler_failure != 0);
    let made = made.lazy_threads(options.lazy_threads != 0);
    let made = input::set_limits(
        made,
        &[
            (options.peers_max, SystemOptions::peers_max),
            (options.mailbox_messages_max, SystemOptions::mailbox_messages_max),
            (options.mailbox_bytes_max, SystemOptions::mailbox_bytes_max),
            (options.shelf_bytes_max, SystemOptions::shelf_bytes_max),
            (options.resource_bytes_max, SystemOptions::resource_bytes_max),
            (options.dead_letters_max, SystemOptions::dead_letters_max),
        ],
    );
    let made = match options.drop_timeout_ms {
        0 => made,
        timeout_ms => made.drop_timeout(input::duration("drop_timeout_ms", timeout_ms)?),
    };
    // SAFETY: as the caller of this function promises.
    Ok(match unsafe { mesh::mesh(options.mesh) }? {
        Some(mesh) => made.mesh(mesh),
        None => made,
    })
}

/// Opens a system: a set of peers that can reach one another. Does not block; with a mesh only until it listens, and others join
/// later, in the background: `potluck_system_wait_for` waits for them.
///
/// `name` follows the rules for names of peers. `options` NULL: the defaults. `out_system` must not be NULL. End it with
/// `potluck_system_shutdown`.
///
/// OK, INVALID_NAME (also of a node), INVALID_ARGUMENT (also an address that is none or cannot be listened on, one beyond the loopback
/// without a word for it, files of tls that are not there or cannot be used), UNSUPPORTED (an option that this build does not have: a
/// mesh, or its tls), LIMIT_REACHED (ids; the threads of a mesh).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_system_open(
    name: *const c_char,
    options: *const potluck_system_options_t,
    out_system: *mut potluck_system_t,
) -> potluck_status_t {
    guard(|| {
        // SAFETY: the caller promises that it is NULL or writable.
        unsafe { output::set(out_system, potluck_system_t::default()) };
        // SAFETY: the caller promises that it is NULL or NUL-terminated for the length of this call.
        let name = unsafe { input::name("name", name) }?;
        // SAFETY: the caller promises that it is NULL or as large as its struct_size says.
        let options = unsafe { input::options("options", options) }?;
        // SAFETY: the caller promises that the mesh is NULL or as its documentation says, for the length of this call.
        let options = unsafe { system_options(&options) }?;
        let system = PeerSystem::open_with(name, options)?;
        if out_system.is_null() {
            // Nobody could ever use it or end it.
            return Err(Error::InvalidArgument("out_system is NULL".to_owned()));
        }
        let peers = Mutex::new(PeerIds { ids: Vec::new(), clean_at: CLEAN_AT_FIRST });
        let id = SYSTEMS.insert(Entry { system, peers })?;
        // SAFETY: as above.
        unsafe { output::set(out_system, potluck_system_t { id }) };
        Ok(())
    })
}

/// Shuts the system down, in two phases. From the call on, calls of threads that run no callback of this system answer CLOSED, and so
/// does spawning. Callbacks go on, and their calls work, until nothing is unfinished: none runs, no message waits for an on_message,
/// nothing else is queued for them. Then, or at half the timeout, all peers are closed as by `potluck_peer_close`, and the
/// end of all is waited for. With timeout 0 all are closed at once; with POTLUCK_WAIT_FOREVER both phases may last for ever.
/// A message that is kept (PENDING) does not hold it up. peers, snapshot, dead_letters, replies and event readers work meanwhile.
/// Waits up to `timeout_ms` for all of it. The report is an empty list where there is nothing to say. Release `*out_report`.
///
/// OK: no callback runs or will run, every user data has been dropped, no thread is left; ids of the system and its peers answer CLOSED
/// from then on, while resources, messages, lists and pending calls stay valid. Shutting it down again is OK. STILL_RUNNING: the
/// deadline passed; `*out_report` lists the peers that have not ended (item: peer, text: what its thread is doing, size: for how many
/// ms), the end goes on, call again to wait on. DEFERRED: called from a callback of one of its peers; calls from outside are refused at
/// once, and the rest goes on by itself when that returns. CLOSED (in a callback of another system whose own peer is closed meanwhile),
/// LIMIT_REACHED (ids: of the report alone, the shutdown goes on; lazy_threads: all have ended but for those whose on_stop finds no
/// thread; call again), INVALID_HANDLE, INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_system_shutdown(
    system: potluck_system_t,
    timeout_ms: i64,
    out_report: *mut potluck_list_t,
) -> potluck_status_t {
    guard_outcome(|| {
        // SAFETY: the caller promises that it is NULL or writable.
        unsafe { output::set(out_report, potluck_list_t::default()) };
        let timeout: Duration = input::timeout(timeout_ms)?;
        let mut running = Vec::new();
        let mut outcome = POTLUCK_OK;
        match SYSTEMS.find(system.id) {
            None => SYSTEMS.check_over(system.id)?,
            Some(entry) => {
                let report = entry.system.shutdown(timeout)?;
                outcome = match report.ended {
                    Ended::Yes => {
                        drop(SYSTEMS.remove(system.id));
                        entry.end_ids();
                        POTLUCK_OK
                    }
                    Ended::Deferred => POTLUCK_DEFERRED,
                    Ended::StillRunning => {
                        running = report.still_running;
                        POTLUCK_STILL_RUNNING
                    }
                };
            }
        }
        // SAFETY: as above.
        unsafe { list::give(running, out_report) }?;
        Ok(outcome)
    })
}

/// All peers, in the order of spawning; then, in a mesh, those of other nodes as `name@node`, sorted. Item: peer. Does not block.
/// Release `*out_list`.
///
/// OK, CLOSED, INVALID_HANDLE, LIMIT_REACHED (ids).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_system_peers(
    system: potluck_system_t,
    out_list: *mut potluck_list_t,
) -> potluck_status_t {
    guard(|| {
        // SAFETY: the caller promises that it is NULL or writable.
        unsafe { output::set(out_list, potluck_list_t::default()) };
        // SAFETY: as above.
        unsafe { list::give(find(system)?.system.peers()?, out_list) }
    })
}

/// Who holds a resource now, in the order of spawning; then, in a mesh, who holds it on other nodes, as `name@node`. Item: peer, from (the
/// origin), version, size. Does not block, except that in a mesh the other nodes are asked: one that has not answered within a second
/// is left out. Release `*out_list`.
///
/// OK (also with nobody: an empty list), INVALID_NAME, INVALID_ARGUMENT, CLOSED, INVALID_HANDLE, LIMIT_REACHED (ids).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_system_holders(
    system: potluck_system_t,
    resource: *const c_char,
    out_list: *mut potluck_list_t,
) -> potluck_status_t {
    guard(|| {
        // SAFETY: the caller promises that it is NULL or writable.
        unsafe { output::set(out_list, potluck_list_t::default()) };
        let entry = find(system)?;
        // SAFETY: the caller promises that it is NULL or NUL-terminated for the length of this call.
        let resource = unsafe { input::name("resource", resource) }?;
        // SAFETY: as above.
        unsafe { list::give(entry.system.holders(resource)?, out_list) }
    })
}

/// Waits up to `timeout_ms` until a peer of this name is there: at once if it is, else until it is spawned. One that is closing is
/// there no more. In a mesh it may be on any node: `name` waits for the first of that name, `name@node` for the peer of that node,
/// `@node` for the node itself.
///
/// OK, TIMED_OUT, CLOSED (the system was shut down before it came; or called in a callback whose own peer is closed meanwhile),
/// INVALID_NAME, NO_SUCH_PEER (a name@node or @node, which can only come in a mesh), INVALID_ARGUMENT, INVALID_HANDLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_system_wait_for(
    system: potluck_system_t,
    peer: *const c_char,
    timeout_ms: i64,
) -> potluck_status_t {
    guard(|| {
        let entry = find(system)?;
        // SAFETY: the caller promises that it is NULL or NUL-terminated for the length of this call.
        let peer = unsafe { input::name("peer", peer) }?;
        entry.system.wait_for(peer, input::timeout(timeout_ms)?)
    })
}

/// A round of requests: the peers of this node in the order of spawning, one after another, each request `resource` from a random other holder
/// here at that moment. The same seed on the same state gives the same result. Waits up to `timeout_ms`, which is for all of it, for the
/// callbacks that it needs. Release `*out_list`.
///
/// Item: peer, from, name, version, size, or status and text of that peer's failure, which does not end the rest. A single
/// peer: an empty list.
///
/// OK, NO_SUCH_RESOURCE (nobody here holds it), INVALID_NAME, INVALID_ARGUMENT, CLOSED, INVALID_HANDLE, LIMIT_REACHED (ids).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_system_mingle(
    system: potluck_system_t,
    resource: *const c_char,
    seed: u64,
    timeout_ms: i64,
    out_list: *mut potluck_list_t,
) -> potluck_status_t {
    guard(|| {
        // SAFETY: the caller promises that it is NULL or writable.
        unsafe { output::set(out_list, potluck_list_t::default()) };
        let entry = find(system)?;
        // SAFETY: the caller promises that it is NULL or NUL-terminated for the length of this call.
        let resource = unsafe { input::name("resource", resource) }?;
        let mingled = entry.system.mingle(resource, seed, input::timeout(timeout_ms)?)?;
        // SAFETY: as above.
        unsafe { list::give(mingled.iter().collect(), out_list) }
    })
}

/// The dead letters: messages that were accepted and that no callback has seen or will see, because they were still queued when
/// their peer closed, or because the asker gave up before. The newest dead_letters_max of them, the newest last. Item: peer (to
/// whom), from, name (the kind), size, status and text (the reason), version (its number: 1 is the first there ever was in this system).
/// Works while a shutdown goes on, too. Does not block. Release `*out_list`.
///
/// OK, CLOSED (after the shutdown), INVALID_HANDLE, LIMIT_REACHED (ids).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_system_dead_letters(
    system: potluck_system_t,
    out_list: *mut potluck_list_t,
) -> potluck_status_t {
    guard(|| {
        // SAFETY: the caller promises that it is NULL or writable.
        unsafe { output::set(out_list, potluck_list_t::default()) };
        let dead = find(system)?.system.dead_letters()?;
        let first = dead.count - dead.newest.len() as u64 + 1;
        // SAFETY: as above.
        unsafe { list::give((first..).zip(dead.newest).collect(), out_list) }
    })
}

/// What each peer is doing at this moment, so that a hang can be read: a resource that holds JSON. The peers are looked at one after
/// another. Its name is "snapshot", its origin the system's name, its version 0. Does not block. Release `*out_json`.
///
/// {"system", "is_open", "peers": [{"peer", "stage": "open" or "closing", "messages" (in its mailbox), "taken" (out of it so far),
/// "resources" (on its shelf), "requested" and "received" (how often so far, as the events say it), "doing" (one line, for
/// people), "since_ms", "handler": null or {"name", "from", "what", "since_ms"}, "call": null or {"verb", "whom", "what", "since_ms"}}],
/// "nodes": [...], "handles": {kind: how many ids are live, in all systems of this loaded copy}}. "call" is what its thread waits in; "from", "whom"
/// and "what" may be null; later versions may add to it. "nodes" are the other nodes of a mesh, sorted by name, each {"node", "peers"
/// (how many it has), "calls" (made with its peers), "served" (made by its peers here), "bytes_in" and "bytes_out" (of bodies),
/// "retries" (attempts made again because no answer came), "failovers" (transfers from it that went on with another holder), "denied"
/// (its calls that were turned away here), "last_error" (of the engine, one line, or "")}, all so far.
///
/// OK, CLOSED (after the shutdown), INVALID_HANDLE, LIMIT_REACHED (ids).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_system_snapshot(
    system: potluck_system_t,
    out_json: *mut potluck_resource_t,
) -> potluck_status_t {
    guard(|| {
        // SAFETY: the caller promises that it is NULL or writable.
        unsafe { output::set(out_json, potluck_resource_t::default()) };
        let mut snapshot = find(system)?.system.snapshot()?;
        let live = [
            ("systems", SYSTEMS.live()),
            ("peers", PEERS.live()),
            ("events", READERS.live()),
            ("resources", RESOURCES.live()),
            ("messages", MESSAGES.live()),
            ("lists", LISTS.live()),
            ("pending", PENDINGS.live()),
        ];
        snapshot.handles.extend(live.map(|(kind, live)| (kind.to_owned(), live)));
        // SAFETY: as above.
        unsafe { resource::give(snapshot.to_json(), out_json) }
    })
}

/// A reader of what happens from now on, which begins with a JOINED for every peer that is there. It holds up to `capacity`
/// events beyond those; a reader that falls behind is told how many it missed, nobody waits for it. Does not block. End it with
/// `potluck_events_close`, also after its system has ended.
///
/// OK, INVALID_ARGUMENT (a capacity of 0, or out_events NULL), CLOSED, INVALID_HANDLE, LIMIT_REACHED (ids).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn potluck_system_events(
    system: potluck_system_t,
    capacity: usize,
    out_events: *mut potluck_events_t,
) -> potluck_status_t {
    guard(|| {
        // SAFETY: the caller promises that it is NULL or writable.
        unsafe { output::set(out_events, potluck_events_t::default()) };
        let reader = find(system)?.system.events(capacity)?;
        if out_events.is_null() {
            return Err(Error::InvalidArgument("out_events is NULL".to_owned()));
        }
        let id = READERS.insert(reader)?;
        // SAFETY: as above.
        unsafe { output::set(out_events, potluck_events_t { id }) };
        Ok(())
    })
}

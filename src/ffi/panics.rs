//! A panic inside the library comes back as `POTLUCK_E_PANIC` from every function of the C ABI: one at its boundary, and one at each
//! check that the call makes on its way, of which the last may come when the call has had its effect. What was taken at entry is
//! given back exactly once, out-parameters are 0, and the library works on.

#![expect(
    clippy::undocumented_unsafe_blocks,
    reason = "a table of calls that C may make: all ids live, all pointers valid"
)]

use std::ffi::{CStr, c_void};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicU32, Ordering};

use super::events::*;
use super::library::*;
use super::list::*;
use super::message::*;
use super::peer::*;
use super::pending::*;
use super::resource::*;
use super::status::*;
use super::system::*;
use crate::panics::{Place, arm, disarm};

#[path = "../../tests/manual/mod.rs"]
mod manual;

const TIMEOUT_MS: i64 = 10_000;

/// What a call may need, made anew for each, and what it gives.
struct Kitchen {
    system: potluck_system_t,
    ada: potluck_peer_t,
    bob: potluck_peer_t,
    events: potluck_events_t,
    soup: potluck_resource_t,
    message: potluck_message_t,
    list: potluck_list_t,
    pending: potluck_pending_t,
    /// Each out-parameter in turn; not 0 before the call.
    out: [u64; 2],
    /// How often the user data was dropped or the buffer released.
    freed: AtomicU32,
}

unsafe extern "C-unwind" fn drop_user_data(user_data: *mut c_void) {
    unsafe { &*user_data.cast::<AtomicU32>() }.fetch_add(1, Ordering::Relaxed);
}

unsafe extern "C-unwind" fn release(_: *const u8, _: usize, user_data: *mut c_void) {
    unsafe { drop_user_data(user_data) }
}

#[track_caller]
fn ok(status: potluck_status_t) {
    assert_eq!(status, POTLUCK_OK);
}

impl Kitchen {
    fn open() -> Box<Kitchen> {
        let mut kitchen = Box::new(Kitchen {
            system: potluck_system_t::default(),
            ada: potluck_peer_t::default(),
            bob: potluck_peer_t::default(),
            events: potluck_events_t::default(),
            soup: potluck_resource_t::default(),
            message: potluck_message_t::default(),
            list: potluck_list_t::default(),
            pending: potluck_pending_t::default(),
            out: [7; 2],
            freed: AtomicU32::new(0),
        });
        let k = &mut *kitchen;
        let call = call();
        unsafe {
            ok(potluck_system_open(c"kitchen".as_ptr(), null(), &mut k.system));
            ok(potluck_peer_spawn(k.system, c"ada".as_ptr(), null(), &mut k.ada));
            ok(potluck_peer_spawn(k.system, c"bob".as_ptr(), null(), &mut k.bob));
            ok(potluck_system_events(k.system, 8, &mut k.events));
            ok(potluck_peer_share(k.ada, c"soup".as_ptr(), c"tomato".as_ptr().cast(), 6, null_mut()));
            ok(potluck_peer_get(k.ada, c"soup".as_ptr(), &mut k.soup));
            ok(potluck_peer_tell(k.bob, c"ada".as_ptr(), c"hello".as_ptr(), null(), 0, 0));
            ok(potluck_peer_receive(k.ada, 0, &mut k.message));
            ok(potluck_peer_tell(k.bob, c"ada".as_ptr(), c"hello".as_ptr(), null(), 0, 0));
            ok(potluck_system_peers(k.system, &mut k.list));
            ok(potluck_peer_start(k.bob, &call, &mut k.pending));
            // Not what the call that was started has put there.
            ok(potluck_peer_share(k.bob, c"soup".as_ptr(), c"potato".as_ptr().cast(), 6, null_mut()));
        }
        kitchen
    }

    fn out<T>(&mut self) -> *mut T {
        self.out.as_mut_ptr().cast::<T>()
    }

    fn freed(&self) -> *mut c_void {
        std::ptr::from_ref(&self.freed).cast_mut().cast::<c_void>()
    }

    /// The library works on, and all ends as ever.
    fn close(&mut self) -> u32 {
        ok(potluck_peer_close(self.bob, TIMEOUT_MS));
        unsafe {
            let (mut own, mut eve) = (potluck_system_t::default(), potluck_peer_t::default());
            ok(potluck_system_open(c"pantry".as_ptr(), null(), &mut own));
            ok(potluck_peer_spawn(own, c"eve".as_ptr(), null(), &mut eve));
            ok(potluck_peer_share(eve, c"soup".as_ptr(), null(), 0, null_mut()));
            ok(potluck_peer_request(eve, c"eve".as_ptr(), c"soup".as_ptr(), 0, &mut self.soup));
            ok(potluck_system_shutdown(own, TIMEOUT_MS, null_mut()));
            ok(potluck_system_shutdown(self.system, TIMEOUT_MS, null_mut()));
            ok(potluck_events_close(self.events));
        }
        self.freed.load(Ordering::Relaxed)
    }
}

fn call() -> potluck_call_t {
    potluck_call_t {
        struct_size: size_of::<potluck_call_t>(),
        verb: POTLUCK_CALL_REQUEST,
        reserved: 0,
        to: c"ada".as_ptr(),
        name: c"soup".as_ptr(),
        data: null(),
        data_len: 0,
        than: potluck_resource_t::default(),
        timeout_ms: 0,
    }
}

fn options(kitchen: &Kitchen) -> potluck_peer_options_t {
    potluck_peer_options_t {
        struct_size: size_of::<potluck_peer_options_t>(),
        on_message: None,
        on_request: None,
        on_offer: None,
        on_received: None,
        on_stop: None,
        user_data: kitchen.freed(),
        drop: Some(drop_user_data),
        mailbox_messages_max: 0,
        mailbox_bytes_max: 0,
        shelf_bytes_max: 0,
    }
}

type Call = unsafe fn(&mut Kitchen) -> potluck_status_t;

/// Every function, each in a call that succeeds. Those that give a text instead say whether it is the one that a panic leaves.
const CALLS: &[(&str, Call)] = &[
    ("potluck_check", |k| unsafe { potluck_check(POTLUCK_ABI, k.out()) }),
    ("potluck_status_str", |_| {
        let text = potluck_status_str(POTLUCK_E_PANIC);
        if unsafe { CStr::from_ptr(text) } == c"unknown status" { POTLUCK_E_PANIC } else { POTLUCK_OK }
    }),
    ("potluck_last_error", |_| {
        if unsafe { CStr::from_ptr(potluck_last_error()) }.is_empty() { POTLUCK_E_PANIC } else { POTLUCK_OK }
    }),
    ("potluck_last_error_detail", |_| unsafe {
        let size = size_of::<potluck_error_t>();
        potluck_last_error_detail(&mut potluck_error_t {
            struct_size: size,
            status: 0,
            reserved: 0,
            number: 0,
            number2: 0,
            text: null(),
        })
    }),
    ("potluck_set_error", |_| unsafe { potluck_set_error(c"no".as_ptr()) }),
    ("potluck_system_open", |k| unsafe { potluck_system_open(c"pantry".as_ptr(), null(), k.out()) }),
    ("potluck_system_shutdown", |k| unsafe { potluck_system_shutdown(k.system, TIMEOUT_MS, k.out()) }),
    ("potluck_system_peers", |k| unsafe { potluck_system_peers(k.system, k.out()) }),
    ("potluck_system_holders", |k| unsafe { potluck_system_holders(k.system, c"soup".as_ptr(), k.out()) }),
    ("potluck_system_mingle", |k| unsafe { potluck_system_mingle(k.system, c"soup".as_ptr(), 7, 0, k.out()) }),
    ("potluck_system_dead_letters", |k| unsafe { potluck_system_dead_letters(k.system, k.out()) }),
    ("potluck_system_snapshot", |k| unsafe { potluck_system_snapshot(k.system, k.out()) }),
    ("potluck_system_events", |k| unsafe { potluck_system_events(k.system, 8, k.out()) }),
    ("potluck_system_wait_for", |k| unsafe { potluck_system_wait_for(k.system, c"ada".as_ptr(), 0) }),
    ("potluck_events_next", |k| unsafe {
        let mut event: potluck_event_t = std::mem::zeroed();
        event.struct_size = size_of::<potluck_event_t>();
        potluck_events_next(k.events, 0, &mut event)
    }),
    ("potluck_events_close", |k| potluck_events_close(k.events)),
    ("potluck_peer_spawn", |k| unsafe { potluck_peer_spawn(k.system, c"eve".as_ptr(), &options(k), k.out()) }),
    ("potluck_peer_close", |k| potluck_peer_close(k.bob, TIMEOUT_MS)),
    ("potluck_peer_share", |k| unsafe { potluck_peer_share(k.ada, c"pie".as_ptr(), null(), 0, k.out()) }),
    ("potluck_peer_share_if", |k| unsafe {
        potluck_peer_share_if(k.ada, c"soup".as_ptr(), null(), 0, k.soup, k.out())
    }),
    ("potluck_peer_share_owned", |k| unsafe {
        let (data, user_data) = (c"pie".as_ptr().cast(), k.freed());
        potluck_peer_share_owned(k.ada, c"pie".as_ptr(), data, 3, Some(release), user_data, k.out())
    }),
    ("potluck_peer_unshare", |k| unsafe { potluck_peer_unshare(k.ada, c"soup".as_ptr()) }),
    ("potluck_peer_get", |k| unsafe { potluck_peer_get(k.ada, c"soup".as_ptr(), k.out()) }),
    ("potluck_peer_resources", |k| unsafe { potluck_peer_resources(k.ada, k.out()) }),
    ("potluck_peer_request", |k| unsafe { potluck_peer_request(k.bob, c"ada".as_ptr(), c"soup".as_ptr(), 0, k.out()) }),
    ("potluck_peer_request_newer", |k| unsafe {
        potluck_peer_request_newer(k.ada, c"bob".as_ptr(), c"soup".as_ptr(), k.soup, 0, k.out())
    }),
    ("potluck_peer_fetch", |k| unsafe { potluck_peer_fetch(k.bob, c"soup".as_ptr(), 0, k.out()) }),
    ("potluck_peer_offer", |k| unsafe { potluck_peer_offer(k.ada, c"bob".as_ptr(), c"soup".as_ptr(), 0) }),
    ("potluck_peer_exchange", |k| unsafe {
        potluck_peer_exchange(k.ada, c"bob".as_ptr(), c"soup".as_ptr(), 0, k.out())
    }),
    ("potluck_peer_tell", |k| unsafe { potluck_peer_tell(k.ada, c"bob".as_ptr(), c"hello".as_ptr(), null(), 0, 0) }),
    ("potluck_peer_ask", |k| unsafe {
        // Nobody answers: it ends by its deadline, unless by a panic.
        match potluck_peer_ask(k.ada, c"bob".as_ptr(), c"hello".as_ptr(), null(), 0, 0, k.out()) {
            POTLUCK_E_TIMED_OUT => POTLUCK_OK,
            status => status,
        }
    }),
    ("potluck_peer_receive", |k| unsafe { potluck_peer_receive(k.ada, 0, k.out()) }),
    ("potluck_peer_start", |k| unsafe { potluck_peer_start(k.bob, &call(), k.out()) }),
    ("potluck_pending_wait", |k| unsafe { potluck_pending_wait(k.pending, 0, k.out()) }),
    ("potluck_events_fd", |k| unsafe { potluck_events_fd(k.events, null_mut()) }),
    ("potluck_peer_fd", |k| unsafe { potluck_peer_fd(k.ada, null_mut()) }),
    ("potluck_pending_fd", |k| unsafe { potluck_pending_fd(k.pending, null_mut()) }),
    ("potluck_pending_release", |k| unsafe { potluck_pending_release(k.pending) }),
    ("potluck_resource_keep", |k| unsafe { potluck_resource_keep(k.soup, k.out()) }),
    ("potluck_resource_data", |k| unsafe { potluck_resource_data(k.soup, k.out(), k.out::<usize>().add(1)) }),
    ("potluck_resource_info", |k| unsafe {
        let mut info: potluck_resource_info_t = std::mem::zeroed();
        info.struct_size = size_of::<potluck_resource_info_t>();
        potluck_resource_info(k.soup, &mut info)
    }),
    ("potluck_resource_release", |k| potluck_resource_release(k.soup)),
    ("potluck_message_info", |k| unsafe {
        let mut info: potluck_message_info_t = std::mem::zeroed();
        info.struct_size = size_of::<potluck_message_info_t>();
        potluck_message_info(k.message, &mut info)
    }),
    ("potluck_message_reply", |k| unsafe {
        // Nobody asked: that is said, unless there is a panic.
        match potluck_message_reply(k.message, null(), 0) {
            POTLUCK_E_INVALID_ARGUMENT => POTLUCK_OK,
            status => status,
        }
    }),
    ("potluck_message_release", |k| potluck_message_release(k.message)),
    ("potluck_list_items", |k| unsafe { potluck_list_items(k.list, k.out(), k.out::<usize>().add(1)) }),
    ("potluck_list_release", |k| potluck_list_release(k.list)),
];

/// Whether a kitchen's `out` is given to it.
fn has_out(name: &str) -> bool {
    let functions = manual::functions();
    let function = functions.iter().find(|function| function.name == name).expect("the header has it");
    function
        .parameters
        .iter()
        .any(|parameter| parameter.name.starts_with("out_") && parameter.name != "out_fd" && !parameter.is_sized())
}

/// Calls with a panic at this place, if the call comes there.
fn panics(name: &str, call: Call, place: Place) -> bool {
    let mut kitchen = Kitchen::open();
    unsafe { potluck_check(POTLUCK_ABI + 1, null_mut()) };
    arm(place);
    let status = unsafe { call(&mut kitchen) };
    let has_panicked = !disarm();
    if has_panicked {
        assert!(status == POTLUCK_E_PANIC, "{name} gives {status} after a panic at {place:?}");
        let has_out = place != Place::Boundary && has_out(name);
        assert_eq!(kitchen.out[0], if has_out { 0 } else { 7 }, "{name}: the out-parameter after {place:?}");
    } else {
        let gives = status == POTLUCK_OK || status == POTLUCK_E_INVALID_ARGUMENT && name == "potluck_set_error";
        assert!(gives, "{name} gives {status} without a panic");
    }
    let takes = ["potluck_peer_spawn", "potluck_peer_share_owned"].contains(&name) && place != Place::Boundary;
    let freed = kitchen.close();
    assert_eq!(freed, u32::from(takes), "{name}: what was taken is given back once, after a panic at {place:?}");
    has_panicked
}

#[test]
fn a_panic_anywhere_in_a_call_is_its_status() {
    let mut called: Vec<&str> = CALLS.iter().map(|(name, _)| *name).collect();
    let mut declared: Vec<&str> = manual::functions().iter().map(|function| function.name).collect();
    called.sort_unstable();
    declared.sort_unstable();
    assert_eq!(called, declared, "the table has every function of the header");
    let mut checks = 0;
    for (name, call) in CALLS {
        assert!(panics(name, *call, Place::Boundary), "{name} has no boundary");
        checks += (1..).take_while(|number| panics(name, *call, Place::Check(*number))).count();
    }
    assert!(checks > CALLS.len(), "{checks} checks in {} functions", CALLS.len());
}

//! What the test of bindgen puts below the generated declarations: the program of use.c, in Rust.

use std::ffi::CStr;

unsafe extern "C" fn answer(_: potluck_peer_t, message: potluck_message_t, _: *mut std::ffi::c_void) -> potluck_status_t {
    potluck_message_reply(message, b"soup".as_ptr().cast(), 4)
}

fn main() {
    unsafe {
        let (mut kitchen, mut cook, mut guest) = (potluck_system_t { id: 0 }, potluck_peer_t { id: 0 }, potluck_peer_t { id: 0 });
        let mut reply = potluck_resource_t { id: 0 };
        let mut options: potluck_peer_options_t = std::mem::zeroed();
        options.struct_size = std::mem::size_of_val(&options) as _;
        options.on_message = Some(answer);
        let mut info: potluck_resource_info_t = std::mem::zeroed();
        info.struct_size = std::mem::size_of_val(&info) as _;
        let ok = POTLUCK_OK as potluck_status_t;
        assert_eq!(potluck_check(POTLUCK_ABI, std::ptr::null_mut()), ok);
        assert_eq!(potluck_system_open(c"kitchen".as_ptr(), std::ptr::null(), &mut kitchen), ok);
        assert_eq!(potluck_peer_spawn(kitchen, c"cook".as_ptr(), &options, &mut cook), ok);
        assert_eq!(potluck_peer_spawn(kitchen, c"guest".as_ptr(), std::ptr::null(), &mut guest), ok);
        assert_eq!(potluck_peer_ask(guest, c"cook".as_ptr(), c"what".as_ptr(), std::ptr::null(), 0, 10_000, &mut reply), ok);
        assert_eq!(potluck_resource_info(reply, &mut info), ok);
        let body = std::slice::from_raw_parts(info.data, info.data_len as usize);
        println!("{} from {}", String::from_utf8_lossy(body), CStr::from_ptr(info.origin).to_string_lossy());
        assert_eq!(potluck_resource_release(reply), ok);
        assert_eq!(potluck_system_shutdown(kitchen, 10_000, std::ptr::null_mut()), ok);
    }
}

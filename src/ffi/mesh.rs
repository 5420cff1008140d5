//! How a system joins others, as C says it.

use std::ffi::c_char;

use super::input::{self, CStruct};
use crate::{Error, Mesh, Result};

/// How a system joins the systems of the same name in other processes, its mesh. All 0 but the size: the defaults. All of it is copied.
///
/// There is no server: every node listens, connects to the addresses that it is given, and learns of the others from those. What
/// it calls itself is its node: `ada@laptop` is the peer ada of the node laptop. An address is `host:port`, an IPv6 host in brackets.
///
/// By default it listens on the loopback alone. Without TLS whoever reaches the address is let in, and may call itself what it
/// likes; so listening beyond the loopback wants the three TLS files, or `listen_everywhere_without_tls`. With TLS both sides show a
/// certificate of the same authority, and with `allow` only the nodes listed come in, each under the common name of its
/// certificate and no other.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct potluck_mesh_options_t {
    /// sizeof(potluck_mesh_options_t).
    pub struct_size: usize,
    /// What this node is called, by the rules for names of peers; NULL: the name of the host and the id of the process.
    pub node: *const c_char,
    /// Addresses to listen on; none: `127.0.0.1:0`. Port 0 is one that the operating system picks. NULL only with listen_len 0.
    pub listen: *const *const c_char,
    /// How many.
    pub listen_len: usize,
    /// Addresses to connect to. A node that is not there yet is tried again and again, in the background. NULL only with connect_len 0.
    pub connect: *const *const c_char,
    /// How many.
    pub connect_len: usize,
    /// The nodes that may come in, by the common names of their certificates, which are their names; none: every node whose
    /// certificate is of the authority. Needs TLS. NULL only with allow_len 0.
    pub allow: *const *const c_char,
    /// How many.
    pub allow_len: usize,
    /// Mutual TLS, by three PEM files, all or none: the certificate of the authority; NULL: no TLS.
    pub tls_ca_file: *const c_char,
    /// This node's certificate, with its name as the common name, and the hosts that others connect to.
    pub tls_cert_file: *const c_char,
    /// The private key of that.
    pub tls_key_file: *const c_char,
    /// 1: nodes in the same network find one another by multicast; 0: they do not.
    pub multicast: u32,
    /// 1: nodes do not learn of one another from those that they are connected to; 0: they do.
    pub no_gossip: u32,
    /// 1: it may listen beyond the loopback without TLS, where whoever reaches the address is let in.
    pub listen_everywhere_without_tls: u32,
    /// 0.
    pub reserved: u32,
    /// After how many milliseconds a node that hangs, or whose network is gone, counts as gone; at least 100; 0: 2000. The same on all nodes.
    pub lease_ms: i64,
}

// SAFETY: a plain C struct of integers and pointers with `struct_size` first.
unsafe impl CStruct for potluck_mesh_options_t {}

/// The mesh that C has described; NULL is none.
///
/// # Safety
///
/// `options` is NULL or as large as its struct_size says, its lists have as many texts as their lengths say, and the texts are
/// NUL-terminated.
pub(super) unsafe fn mesh(options: *const potluck_mesh_options_t) -> Result<Option<Mesh>> {
    if options.is_null() {
        return Ok(None);
    }
    if !cfg!(feature = "mesh") {
        // Nor is it looked at: a library without a mesh has no code for what one needs.
        return Err(Error::Unsupported("mesh in this build".to_owned()));
    }
    // SAFETY: as the caller of this function promises.
    let given = unsafe { input::options("mesh", options) }?;
    if given.reserved != 0 {
        return Err(Error::InvalidArgument("reserved of mesh is set".to_owned()));
    }
    let mut mesh = Mesh::new()
        .multicast(given.multicast != 0)
        .gossip(given.no_gossip == 0)
        .listen_everywhere_without_tls(given.listen_everywhere_without_tls != 0);
    if !given.node.is_null() {
        // SAFETY: as the caller of this function promises.
        mesh = mesh.node(unsafe { input::name("node", given.node) }?);
    }
    // SAFETY: as above.
    for address in unsafe { input::texts("listen", given.listen, given.listen_len) }? {
        mesh = mesh.listen(address);
    }
    // SAFETY: as above.
    for address in unsafe { input::texts("connect", given.connect, given.connect_len) }? {
        mesh = mesh.connect(address);
    }
    // SAFETY: as above.
    for node in unsafe { input::texts("allow", given.allow, given.allow_len) }? {
        mesh = mesh.allow(node);
    }
    let files = [given.tls_ca_file, given.tls_cert_file, given.tls_key_file];
    if files.iter().any(|file| !file.is_null()) {
        // SAFETY: as above.
        let file = |what, file| unsafe { input::text(what, file) };
        let [ca, certificate, key] = files;
        mesh = mesh.tls(file("tls_ca_file", ca)?, file("tls_cert_file", certificate)?, file("tls_key_file", key)?);
    }
    match given.lease_ms {
        0 => Ok(Some(mesh)),
        // For ever would be no lease.
        -1 => Err(Error::InvalidArgument("lease_ms is -1".to_owned())),
        lease_ms => Ok(Some(mesh.lease(input::duration("lease_ms", lease_ms)?))),
    }
}

//! The mesh: how a system joins those of the same name in other processes. Here are its options, which every build has; all that
//! knows the engine is below this file, and only there with the feature `mesh`.

use std::path::PathBuf;
use std::time::Duration;

use crate::core::SystemCore;
use crate::error::Result;
use crate::sync::Arc;

#[cfg(feature = "mesh")]
mod arriving;
#[cfg(feature = "mesh")]
mod calls;
#[cfg(any(feature = "mesh", test))]
mod check;
#[cfg(feature = "mesh")]
mod digests;
#[cfg(feature = "mesh")]
mod engine;
#[cfg(feature = "mesh")]
mod giving;
#[cfg(feature = "mesh")]
mod guests;
#[cfg(all(feature = "mesh", test))]
mod hostile;
#[cfg(feature = "mesh")]
mod kept;
#[cfg(feature = "mesh")]
mod keys;
#[cfg(feature = "mesh")]
mod node;
#[cfg(feature = "mesh")]
mod origins;
#[cfg(feature = "mesh")]
mod presence;
#[cfg(feature = "mesh")]
mod serve;
#[cfg(feature = "mesh")]
mod transfer;
#[cfg(feature = "mesh")]
mod wire;

/// How a system joins the systems of the same name in other processes, for [`SystemOptions::mesh`](crate::SystemOptions::mesh).
///
/// There is no server: every node listens, connects to the addresses that it is given, and learns of the others from those
/// (gossip). What it calls itself is its *node*: `ada@laptop` is the peer `ada` of the node `laptop`.
///
/// By default it listens on the loopback alone, on a port that the operating system picks, connects to nobody, and neither finds others nor is found by
/// multicast. An address is `host:port`; an IPv6 host stands in brackets.
///
/// # Security
///
/// Without TLS whoever reaches the address is let in, and may call itself what it likes. With [`tls`](Mesh::tls) both sides show a
/// certificate of the same authority, and with [`allow`](Mesh::allow) only the nodes listed come in, each under the common name
/// of its certificate and no other. Listening beyond the loopback without TLS needs
/// [`listen_everywhere_without_tls`](Mesh::listen_everywhere_without_tls).
///
/// # Examples
///
/// ```
/// # use potluck::{Error, Mesh, PeerSystem, SystemOptions};
/// let mesh = Mesh::new().node("laptop").connect("127.0.0.1:7447");
/// match PeerSystem::open_with("kitchen", SystemOptions::new().mesh(mesh)) {
///     Ok(kitchen) => assert_eq!(kitchen.name(), "kitchen"),
///     Err(error) => assert!(matches!(error, Error::Unsupported(_)), "a build without the feature: {error}"),
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Mesh {
    node: Option<String>,
    listen: Vec<String>,
    connect: Vec<String>,
    allow: Vec<String>,
    tls: Option<TlsFiles>,
    multicast: bool,
    no_gossip: bool,
    listen_everywhere_without_tls: bool,
    lease: Option<Duration>,
}

/// PEM files.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "mesh"), expect(dead_code, reason = "only the engine reads them"))]
struct TlsFiles {
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Mesh {
    /// The defaults: see [`Mesh`].
    pub fn new() -> Mesh {
        Mesh::default()
    }

    /// What this node is called, by the rules for names of peers; otherwise the name of the host and the id of the process.
    #[must_use]
    pub fn node(mut self, name: impl Into<String>) -> Self {
        self.node = Some(name.into());
        self
    }

    /// One more address to listen on; without any, `127.0.0.1:0`. Port 0 is one that the operating system picks.
    #[must_use]
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen.push(address.into());
        self
    }

    /// One more address to connect to. A node that is not there yet is tried again and again, in the background.
    #[must_use]
    pub fn connect(mut self, address: impl Into<String>) -> Self {
        self.connect.push(address.into());
        self
    }

    /// One more node that may come in, by the common name of its certificate, which is its name; without any, every node whose certificate is
    /// of the authority. Needs [`tls`](Mesh::tls).
    #[must_use]
    pub fn allow(mut self, node: impl Into<String>) -> Self {
        self.allow.push(node.into());
        self
    }

    /// Mutual TLS, by PEM files: the certificate of the authority, this node's certificate and its private key. The certificate must have
    /// the node's name as its common name, and name the hosts that others connect to. Needs the feature `mesh-tls`.
    #[must_use]
    pub fn tls(mut self, ca: impl Into<PathBuf>, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.tls = Some(TlsFiles { ca: ca.into(), certificate: certificate.into(), key: key.into() });
        self
    }

    /// Whether nodes in the same network find one another by multicast; off by default.
    #[must_use]
    pub fn multicast(mut self, on: bool) -> Self {
        self.multicast = on;
        self
    }

    /// Whether nodes learn of one another from those that they are connected to; on by default.
    #[must_use]
    pub fn gossip(mut self, on: bool) -> Self {
        self.no_gossip = !on;
        self
    }

    /// Whether it may listen beyond the loopback without TLS, where whoever reaches the address is let in.
    #[must_use]
    pub fn listen_everywhere_without_tls(mut self, may: bool) -> Self {
        self.listen_everywhere_without_tls = may;
        self
    }

    /// After how long a node that hangs, or whose network is gone, counts as gone: 2 s by default, at least 100 ms. The same on all nodes.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }
}

/// Lets a system join, before anybody else knows of it.
#[cfg(feature = "mesh")]
pub(crate) fn join(system: &Arc<SystemCore>, options: &Mesh) -> Result<()> {
    options.check()?;
    node::join(system, options)
}

/// This build has no engine, nor does it look at what the options say.
#[cfg(not(feature = "mesh"))]
pub(crate) fn join(_: &Arc<SystemCore>, _: &Mesh) -> Result<()> {
    Err(crate::error::Error::Unsupported("mesh in this build: it needs the feature of that name".to_owned()))
}

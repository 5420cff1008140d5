//! The mesh: how a system joins those of the same name in other processes. Here are its options, which every build has; all that
//! knows the engine is below this file, and only there with the feature `mesh`.

use std::path::PathBuf;
use std::time::Duration;

use crate::core::SystemCore;
use crate::error::{Error, Result};
use crate::name;
use crate::sync::Arc;

#[cfg(feature = "mesh")]
mod calls;
#[cfg(feature = "mesh")]
mod engine;
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

const LEASE_MIN: Duration = Duration::from_millis(100);

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

    fn check(&self) -> Result<()> {
        let invalid = |what: String| Err(Error::InvalidArgument(what));
        if let Some(node) = &self.node {
            name::check_peer(node)?;
        }
        self.allow.iter().try_for_each(|node| name::check_peer(node))?;
        for address in self.listen.iter().chain(&self.connect) {
            if !is_address(address) {
                return invalid(format!("the address {address:?} is not host:port"));
            }
        }
        if !self.allow.is_empty() && self.tls.is_none() {
            return invalid("allow needs tls: without it nobody shows who he is".to_owned());
        }
        if self.tls.is_none() && !self.listen_everywhere_without_tls {
            if let Some(address) = self.listen.iter().find(|address| !is_loopback(address)) {
                return invalid(format!(
                    "{address:?} is not on the loopback, and without tls everybody who reaches it is let in: \
                     listen_everywhere_without_tls says that this is meant"
                ));
            }
        }
        if self.lease.is_some_and(|lease| lease < LEASE_MIN) {
            return invalid(format!("a lease below {} ms", LEASE_MIN.as_millis()));
        }
        if self.tls.is_some() && !cfg!(feature = "mesh-tls") {
            return Err(Error::Unsupported("tls in this build: it needs the feature mesh-tls".to_owned()));
        }
        Ok(())
    }
}

fn is_address(address: &str) -> bool {
    split(address).is_some_and(|(host, port)| {
        !host.is_empty()
            && port.parse::<u16>().is_ok()
            && !host.contains(|c: char| c.is_whitespace() || "/#?;".contains(c))
    })
}

/// The host, without the brackets of an IPv6 one, and the port.
fn split(address: &str) -> Option<(&str, &str)> {
    let (host, port) = address.rsplit_once(':')?;
    match host.strip_prefix('[') {
        Some(host) => Some((host.strip_suffix(']')?, port)),
        None if host.contains(':') => None,
        None => Some((host, port)),
    }
}

fn is_loopback(address: &str) -> bool {
    let Some((host, _)) = split(address) else { return false };
    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

/// Lets a system join, before anybody else knows of it.
#[cfg(feature = "mesh")]
pub(crate) fn join(system: &Arc<SystemCore>, options: &Mesh) -> Result<()> {
    options.check()?;
    node::join(system, options)
}

/// This build has no engine.
#[cfg(not(feature = "mesh"))]
pub(crate) fn join(_: &Arc<SystemCore>, options: &Mesh) -> Result<()> {
    options.check()?;
    Err(Error::Unsupported("mesh in this build: it needs the feature of that name".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_host_and_port() {
        for good in ["127.0.0.1:7447", "localhost:0", "[::1]:7447", "kitchen.example:65535"] {
            assert!(is_address(good), "{good}");
        }
        for bad in [
            "",
            "7447",
            "127.0.0.1",
            "127.0.0.1:",
            ":7447",
            "::1:7447",
            "[::1]",
            "a:65536",
            "tcp/a:1",
            "a b:1",
            "a:1#x",
        ] {
            assert!(!is_address(bad), "{bad}");
        }
    }

    #[test]
    fn beyond_the_loopback_only_with_tls_or_a_word() {
        for near in ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1", "localhost:1"] {
            assert!(Mesh::new().listen(near).check().is_ok(), "{near}");
        }
        for far in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "kitchen.example:1"] {
            assert!(matches!(Mesh::new().listen(far).check(), Err(Error::InvalidArgument(_))), "{far}");
            assert!(Mesh::new().listen(far).listen_everywhere_without_tls(true).check().is_ok(), "{far}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_said() {
        let invalid = |mesh: Mesh| matches!(mesh.check(), Err(Error::InvalidArgument(_)));
        assert!(invalid(Mesh::new().allow("desk")) && invalid(Mesh::new().lease(Duration::from_millis(99))));
        assert!(matches!(Mesh::new().node("a@b").check(), Err(Error::InvalidName { .. })));
        assert!(matches!(Mesh::new().allow("").check(), Err(Error::InvalidName { .. })));
        let tls = Mesh::new().tls("ca.pem", "cert.pem", "key.pem").check();
        assert_eq!(tls.is_ok(), cfg!(feature = "mesh-tls"), "{tls:?}");
    }
}

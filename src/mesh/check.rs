//! What the options of a mesh can mean, and what they cannot.

use std::time::Duration;

use super::Mesh;
use crate::error::{Error, Result};
use crate::name;

const LEASE_MIN: Duration = Duration::from_millis(100);

impl Mesh {
    pub(super) fn check(&self) -> Result<()> {
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
        if self.tls.is_none()
            && !self.listen_everywhere_without_tls
            && let Some(address) = self.listen.iter().find(|address| !is_loopback(address))
        {
            return invalid(format!(
                "{address:?} is not on the loopback, and without tls everybody who reaches it is let in: \
                 listen_everywhere_without_tls says that this is meant"
            ));
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

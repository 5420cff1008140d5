//! The keys under which the engine carries what the nodes of one system say to one another. Names of peers, nodes, systems and resources go
//! into keys as they are: the rules for names leave out what has a meaning there.
//!
//! | key below `potluck/<system>/` | what |
//! |---|---|
//! | `n/<node>/<instance>` | liveliness: a node is there |
//! | `p/<node>/<instance>/<peer>` | liveliness: a peer is there |
//! | `c/<node>/<instance>/<from>/<instance>` | queries of one node to another: calls, and the pieces of large bodies |
//! | `r/<node>/<peer>/<resource>` | for everybody else who speaks to the engine: a get is a request |
//!
//! An instance is 32 hexadecimal digits: the time at which a system joined, in nanoseconds since 1970, and as many random bits. So a node that comes again
//! under its old name is another one, and the newer of the two.
//! The node that a query comes from is a part of its key, so that the engine's access control binds it to a certificate.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::sync::{Arc, random_seed};

/// One system in a mesh.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NodeId {
    pub(super) name: Arc<str>,
    pub(super) instance: u128,
}

impl NodeId {
    /// A new instance of a node of this name.
    pub(super) fn new(name: &str) -> NodeId {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        NodeId { name: name.into(), instance: since_1970.as_nanos() << 64 | u128::from(random_seed()) }
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:032x}", self.name, self.instance)
    }
}

/// Whose token a key is.
pub(super) enum Token<'a> {
    Node(NodeId),
    Peer(NodeId, &'a str),
}

pub(super) struct Keys {
    root: String,
}

impl Keys {
    pub(super) fn new(system: &str) -> Keys {
        Keys { root: format!("potluck/{system}") }
    }

    pub(super) fn node_token(&self, node: &NodeId) -> String {
        format!("{}/n/{node}", self.root)
    }

    pub(super) fn peer_token(&self, node: &NodeId, peer: &str) -> String {
        format!("{}/p/{node}/{peer}", self.root)
    }

    /// All tokens of nodes, and all of peers.
    pub(super) fn tokens(&self) -> [String; 2] {
        [format!("{}/n/*/*", self.root), format!("{}/p/*/*/*", self.root)]
    }

    pub(super) fn query(&self, to: &NodeId, from: &NodeId) -> String {
        format!("{}/c/{to}/{from}", self.root)
    }

    /// All that comes to a node.
    pub(super) fn queries(&self, to: &NodeId) -> String {
        format!("{}/c/{to}/*/*", self.root)
    }

    /// All resources of a node.
    pub(super) fn resources(&self, node: &str) -> String {
        format!("{}/r/{node}/**", self.root)
    }

    /// The keys that a node may use as its own, and those by which it may ask another, for the engine's access control.
    pub(super) fn rules(&self, node: &str) -> Rules {
        let root = &self.root;
        Rules {
            tokens: vec![format!("{root}/n/{node}/**"), format!("{root}/p/{node}/**")],
            queryables: vec![format!("{root}/c/{node}/**"), format!("{root}/r/{node}/**")],
            presence: vec![format!("{root}/n/**"), format!("{root}/p/**")],
        }
    }

    /// What `from` may ask `to`.
    pub(super) fn queries_between(&self, from: &str, to: &str) -> Vec<String> {
        let root = &self.root;
        vec![format!("{root}/c/{to}/*/{from}/**"), format!("{root}/r/{to}/**")]
    }

    /// What a key of a token says, if it is one of this system.
    pub(super) fn token<'a>(&self, key: &'a str) -> Option<Token<'a>> {
        let mut parts = self.below(key)?.split('/');
        let kind = parts.next()?;
        let node = node(&mut parts)?;
        match (kind, parts.next(), parts.next()) {
            ("n", None, _) => Some(Token::Node(node)),
            ("p", Some(peer), None) => Some(Token::Peer(node, peer)),
            _ => None,
        }
    }

    /// Which node a query comes from.
    pub(super) fn sender(&self, key: &str) -> Option<NodeId> {
        let mut parts = self.below(key)?.split('/').skip(3);
        let sender = node(&mut parts)?;
        parts.next().is_none().then_some(sender)
    }

    /// The peer and the resource of a key below those of a node.
    pub(super) fn wanted<'a>(&self, key: &'a str) -> Option<(&'a str, &'a str)> {
        let (_, rest) = self.below(key)?.strip_prefix("r/")?.split_once('/')?;
        rest.split_once('/')
    }

    fn below<'a>(&self, key: &'a str) -> Option<&'a str> {
        key.strip_prefix(self.root.as_str())?.strip_prefix('/')
    }
}

/// Key expressions of one node.
pub(super) struct Rules {
    pub(super) tokens: Vec<String>,
    pub(super) queryables: Vec<String>,
    pub(super) presence: Vec<String>,
}

fn node<'a>(parts: &mut impl Iterator<Item = &'a str>) -> Option<NodeId> {
    let (name, instance) = (parts.next()?, parts.next()?);
    let instance = (instance.len() == 32).then(|| u128::from_str_radix(instance, 16).ok()).flatten()?;
    (!name.is_empty()).then(|| NodeId { name: name.into(), instance })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_say_what_they_were_made_of() {
        let keys = Keys::new("kitchen");
        let (me, other) =
            (NodeId { name: "a b".into(), instance: 7 }, NodeId { name: "ö".into(), instance: u128::MAX });
        assert!(matches!(keys.token(&keys.node_token(&me)), Some(Token::Node(node)) if node == me));
        assert!(matches!(keys.token(&keys.peer_token(&me, "ada")), Some(Token::Peer(node, "ada")) if node == me));
        assert!(keys.sender(&keys.query(&me, &other)).is_some_and(|node| node == other));
        assert_eq!(keys.wanted("potluck/kitchen/r/a b/ada/photos/cat"), Some(("ada", "photos/cat")));
    }

    #[test]
    fn what_is_no_key_of_this_system_says_nothing() {
        let keys = Keys::new("kitchen");
        for key in [
            "potluck/kitchens/n/a/00000000000000000000000000000007",
            "potluck/kitchen/n/a/7",
            "potluck/kitchen/n/a",
            "x",
            "",
        ] {
            assert!(keys.token(key).is_none(), "{key}");
        }
        assert!(keys.token("potluck/kitchen/p/a/00000000000000000000000000000007/ada/more").is_none());
        assert!(keys.sender("potluck/kitchen/c/a/00000000000000000000000000000007/b").is_none());
    }
}

//! A call with another peer, as a value: for whoever makes it later, or somewhere else.

use std::fmt;

use bytes::Bytes;

use crate::resource::Resource;

/// A call with another peer, to be made by [`Peer::start`](crate::Peer::start): each is the call of [`Peer`](crate::Peer) of the
/// same name.
#[derive(Clone)]
#[expect(missing_docs, reason = "the parameters of the methods of the same names")]
pub enum Call<'a> {
    /// [`Peer::request`](crate::Peer::request).
    Request { from: &'a str, name: &'a str },
    /// [`Peer::request_newer`](crate::Peer::request_newer).
    RequestNewer { from: &'a str, name: &'a str, than: &'a Resource },
    /// [`Peer::fetch`](crate::Peer::fetch).
    Fetch { name: &'a str },
    /// [`Peer::offer`](crate::Peer::offer).
    Offer { to: &'a str, name: &'a str },
    /// [`Peer::exchange`](crate::Peer::exchange).
    Exchange { with: &'a str, name: &'a str },
    /// [`Peer::tell`](crate::Peer::tell).
    Tell { to: &'a str, kind: &'a str, body: Bytes },
    /// [`Peer::ask`](crate::Peer::ask).
    Ask { to: &'a str, kind: &'a str, body: Bytes },
}

/// Never the body.
impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (call, about) = match self {
            Call::Request { from, name } => ("Request", [("from", from), ("name", name)].to_vec()),
            Call::RequestNewer { from, name, .. } => ("RequestNewer", [("from", from), ("name", name)].to_vec()),
            Call::Fetch { name } => ("Fetch", [("name", name)].to_vec()),
            Call::Offer { to, name } => ("Offer", [("to", to), ("name", name)].to_vec()),
            Call::Exchange { with, name } => ("Exchange", [("with", with), ("name", name)].to_vec()),
            Call::Tell { to, kind, .. } => ("Tell", [("to", to), ("kind", kind)].to_vec()),
            Call::Ask { to, kind, .. } => ("Ask", [("to", to), ("kind", kind)].to_vec()),
        };
        let mut text = f.debug_struct(call);
        for (field, value) in about {
            text.field(field, value);
        }
        text.finish_non_exhaustive()
    }
}

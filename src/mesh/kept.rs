//! Large bodies on their way out: kept under a number, the ticket, until whoever fetches them in pieces has all.
//!
//! A ticket is good for the node that it was made for. It ends when that node says so or is gone, and when nobody has asked for a piece for a while.

use std::collections::HashMap;

use bytes::Bytes;

use super::digests::Content;
use super::keys::NodeId;
use crate::sync::Mutex;
use crate::unwind::drop_user_data;

#[derive(Default)]
pub(super) struct Kept(Mutex<Table>);

#[derive(Default)]
struct Table {
    last: u64,
    bodies: HashMap<u64, Body>,
}

struct Body {
    bytes: Bytes,
    content: Option<Content>,
    to: NodeId,
    /// Its node may have been cut off only, and come back for it.
    outlives_node: bool,
    /// How often the clean-up has come by since it was last asked for.
    idle: u32,
}

/// With a clean-up every second.
const IDLE_MAX: u32 = 60;

impl Kept {
    pub(super) fn keep(&self, bytes: Bytes, content: Option<Content>, to: &NodeId, outlives_node: bool) -> u64 {
        let mut table = self.0.lock();
        table.last += 1;
        let ticket = table.last;
        table.bodies.insert(ticket, Body { bytes, content, to: to.clone(), outlives_node, idle: 0 });
        ticket
    }

    /// The whole body, if the ticket is that node's, and what names it.
    pub(super) fn body(&self, ticket: u64, by: &NodeId) -> Option<(Bytes, Option<Content>)> {
        let mut table = self.0.lock();
        let body = table.bodies.get_mut(&ticket).filter(|body| body.to == *by)?;
        body.idle = 0;
        Some((body.bytes.clone(), body.content.clone()))
    }

    /// Whether it is still wanted, by whom it is on its way to: so it is not idle.
    pub(super) fn is_wanted(&self, ticket: u64) -> bool {
        self.0.lock().bodies.get_mut(&ticket).map(|body| body.idle = 0).is_some()
    }

    /// Ends a ticket, if it is that node's: gives what is to be dropped where destructors may run.
    pub(super) fn release(&self, ticket: u64, by: &NodeId) -> Option<Bytes> {
        let mut table = self.0.lock();
        let is_his = table.bodies.get(&ticket).is_some_and(|body| body.to == *by);
        is_his.then(|| table.bodies.remove(&ticket)).flatten().map(|body| body.bytes)
    }

    /// Nobody of that node will ask any more.
    pub(super) fn node_left(&self, node: &NodeId) {
        self.end_where(|body| body.to == *node && !body.outlives_node);
    }

    /// Once a second: ends what nobody asks for.
    pub(super) fn clean(&self) {
        self.end_where(|body| {
            body.idle += 1;
            body.idle > IDLE_MAX
        });
    }

    pub(super) fn end_all(&self) {
        self.end_where(|_| true);
    }

    fn end_where(&self, mut is_over: impl FnMut(&mut Body) -> bool) {
        let over: Vec<Body> = self.0.lock().bodies.extract_if(|_, body| is_over(body)).map(|(_, body)| body).collect();
        over.into_iter().for_each(|body| drop_user_data(body.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_good_for_its_node_until_it_ends() {
        let kept = Kept::default();
        let [a, b] = ["a", "b"].map(|name| NodeId { name: name.into(), instance: 1 });
        let (first, second) = (kept.keep("soup".into(), None, &a, false), kept.keep("salt".into(), None, &b, true));
        assert!(kept.body(first, &b).is_none() && kept.body(0, &a).is_none());
        assert_eq!(kept.body(first, &a).map(|(body, _)| body).as_deref(), Some(&b"soup"[..]));
        assert!(kept.release(second, &a).is_none() && kept.body(second, &b).is_some());
        let third = kept.keep("oil".into(), None, &b, false);
        assert_eq!(kept.release(third, &b).as_deref(), Some(&b"oil"[..]));
        assert!(!kept.is_wanted(third));
        kept.node_left(&a);
        kept.node_left(&b);
        assert!(kept.body(first, &a).is_none());
        for _ in 0..2 {
            assert!(kept.is_wanted(second));
            for _ in 0..IDLE_MAX {
                kept.clean();
            }
        }
        assert_eq!(kept.0.lock().bodies.len(), 1);
        kept.clean();
        assert!(kept.body(second, &b).is_none());
    }
}

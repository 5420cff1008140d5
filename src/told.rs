//! What one peer has told others: for each receiver, by name, where it is and the label of the last message. So one more message
//! like the last needs no look-up in the system, and a later call knows what it has to wait for. `P` is the peer.
//!
//! A name stands for the same peer as long as that one's mailbox is open: nobody else gets the name before. Once it has closed, the system is
//! asked anew.
//!
//! One lock, held while a letter is put in: the mailbox's locks come after it. What is dropped here is dropped under no lock.
//! At its peer's end the table is emptied for good, since two that tell each other hold each other.

use bytes::Bytes;
use hashbrown::HashTable;

use crate::key::Key;
use crate::mailbox::{Mailbox, NoRoom, Receivers};
use crate::message::{Label, Letter, Pair, Tell};
use crate::sync::{Arc, AtomicUsize, Mutex, Ordering};

/// Who can be told something.
pub(crate) trait Addressee {
    fn name(&self) -> &Arc<str>;

    fn mailbox(&self) -> &Mailbox;
}

pub(crate) struct Told<P> {
    table: Mutex<Table<P>>,
    /// The size of the table, so that who has told nothing takes no lock.
    len: AtomicUsize,
}

struct Table<P> {
    lines: HashTable<Line<P>>,
    clean_at: usize,
    is_closed: bool,
}

struct Line<P> {
    hash: u64,
    to: Arc<P>,
    label: Arc<Label>,
}

/// What became of a message to one who may have been told something before.
pub(crate) enum Sent<P> {
    Yes,
    /// So, and he has receivers, whom the caller tells under no lock.
    WithReceivers(Arc<P>),
    /// There is no label like that, or he has closed.
    Unknown(Bytes),
    NoRoom(Arc<P>, NoRoom, Tell),
}

/// With so many the table is cleaned the first time; then with twice as many as were left.
const LEN_TO_CLEAN: usize = 64;

impl<P> Default for Told<P> {
    fn default() -> Told<P> {
        let table = Table { lines: HashTable::new(), clean_at: LEN_TO_CLEAN, is_closed: false };
        Told { table: Mutex::new(table), len: AtomicUsize::new(0) }
    }
}

impl<P: Addressee> Told<P> {
    /// Sends one more message of the same kind as the last, if there is room.
    pub(crate) fn send(&self, to: Key<'_>, kind: &str, body: Bytes) -> Sent<P> {
        let table = self.table.lock();
        let Some(Line { to, label, .. }) = table.find(to).filter(|line| *line.label.kind == *kind) else {
            return Sent::Unknown(body);
        };
        let tell = Tell { label: Arc::clone(label), body };
        match to.mailbox().try_put(Letter::Tell(tell)) {
            Ok(Receivers::None) => {
                to.mailbox().has_put(Receivers::None);
                Sent::Yes
            }
            Ok(Receivers::Some) => Sent::WithReceivers(Arc::clone(to)),
            Err((NoRoom::Closed, Letter::Tell(tell))) => Sent::Unknown(tell.body),
            Err((why, Letter::Tell(tell))) => Sent::NoRoom(Arc::clone(to), why, tell),
            Err((_, Letter::Ask(_))) => unreachable!("it gives back what it got"),
        }
    }

    /// The label of a message from this peer. Its receiver's thread has been made, if it needs one.
    pub(crate) fn label(&self, from: &Arc<str>, to: &Arc<P>, kind: &str) -> Arc<Label> {
        let key = Key::new(to.name());
        let label = |pair| Arc::new(Label { from: Arc::clone(from), kind: kind.into(), pair });
        // Only handlers finish a message after it has been accepted.
        let new_pair = || (!to.mailbox().is_inbox()).then(Arc::<Pair>::default);
        let mut gone = Vec::new();
        let mut table = self.table.lock();
        // One that has closed takes nothing, and another may have its name already.
        if table.is_closed || to.mailbox().is_closed() {
            return label(new_pair());
        }
        if let Some(line) = table.find_mut(key) {
            let is_same = Arc::ptr_eq(&line.to, to);
            if !(is_same && *line.label.kind == *kind) {
                let pair = if is_same { line.label.pair.clone() } else { new_pair() };
                let new = Line { hash: key.hash, to: Arc::clone(to), label: label(pair) };
                gone.push(std::mem::replace(line, new));
            }
        } else {
            if table.lines.len() >= table.clean_at {
                gone.extend(table.lines.extract_if(|line| line.is_over()));
                table.clean_at = (2 * table.lines.len()).max(LEN_TO_CLEAN);
            }
            let new = Line { hash: key.hash, to: Arc::clone(to), label: label(new_pair()) };
            table.lines.insert_unique(key.hash, new, |line| line.hash);
            self.len.store(table.lines.len(), Ordering::SeqCst);
        }
        let label = table.find(key).map(|line| Arc::clone(&line.label));
        drop(table);
        drop(gone);
        label.unwrap_or_else(|| unreachable!("it was there or has been put in"))
    }

    /// The number of the message to wait for, if not all is handled that this receiver has been told.
    #[inline]
    pub(crate) fn unfinished(&self, to: &P) -> Option<u64> {
        if self.len.load(Ordering::SeqCst) == 0 { None } else { self.look_for_unfinished(to) }
    }

    fn look_for_unfinished(&self, to: &P) -> Option<u64> {
        let table = self.table.lock();
        table.find(Key::new(to.name())).filter(|line| std::ptr::eq(&*line.to, to))?.unfinished()
    }

    /// Forgets all, and notes nothing more.
    pub(crate) fn close(&self) {
        let lines = {
            let mut table = self.table.lock();
            table.is_closed = true;
            self.len.store(0, Ordering::SeqCst);
            std::mem::take(&mut table.lines)
        };
        drop(lines);
    }
}

impl<P: Addressee> Table<P> {
    fn find(&self, to: Key<'_>) -> Option<&Line<P>> {
        self.lines.find(to.hash, |line| to.is(line.to.name()))
    }

    fn find_mut(&mut self, to: Key<'_>) -> Option<&mut Line<P>> {
        self.lines.find_mut(to.hash, |line| to.is(line.to.name()))
    }
}

impl<P: Addressee> Line<P> {
    fn unfinished(&self) -> Option<u64> {
        let told = self.label.pair.as_ref()?.told();
        (told > self.to.mailbox().handled()).then_some(told)
    }

    /// Nothing is under way: a message holds its label, also while it waits for room. Of one that has closed all is over.
    fn is_over(&self) -> bool {
        let is_held = |pair: &Arc<Pair>| Arc::strong_count(pair) > 1;
        let is_idle = || {
            let is_label_held = Arc::strong_count(&self.label) > 1 || self.label.pair.as_ref().is_some_and(is_held);
            !is_label_held && self.unfinished().is_none()
        };
        self.to.mailbox().is_closed() || is_idle()
    }
}

#[cfg(all(test, not(any(shuttle, loom))))]
mod tests {
    use super::*;

    struct Somebody(Arc<str>, Mailbox);

    impl Addressee for Somebody {
        fn name(&self) -> &Arc<str> {
            &self.0
        }

        fn mailbox(&self) -> &Mailbox {
            &self.1
        }
    }

    fn somebody(name: &str) -> Arc<Somebody> {
        Arc::new(Somebody(name.into(), Mailbox::new(1, 100, false)))
    }

    fn send(told: &Told<Somebody>, to: &str, kind: &str) -> &'static str {
        match told.send(Key::new(to), kind, Bytes::from_static(b"hello")) {
            Sent::Yes | Sent::WithReceivers(_) => "sent",
            Sent::Unknown(body) => std::str::from_utf8(&body).map_or("torn", |_| "unknown"),
            Sent::NoRoom(_, why, _) => {
                if why == NoRoom::Full {
                    "full"
                } else {
                    "too large"
                }
            }
        }
    }

    #[test]
    fn one_more_message_like_the_last_needs_no_look_up_until_its_receiver_closes() {
        let (told, ada, bob) = (Told::default(), Arc::<str>::from("ada"), somebody("bob"));
        assert_eq!(send(&told, "bob", "hello"), "unknown");
        let label = told.label(&ada, &bob, "hello");
        assert_eq!(["hello", "other", "hello"].map(|kind| send(&told, "bob", kind)), ["sent", "unknown", "full"]);
        assert!(Arc::ptr_eq(&label, &told.label(&ada, &bob, "hello")));
        assert_eq!(told.unfinished(&bob), Some(1));
        assert!(bob.1.take().is_some());
        assert_eq!(told.unfinished(&bob), Some(1), "it has been begun");
        bob.1.finish();
        assert_eq!(told.unfinished(&bob), None);
        // Another kind goes on with the same numbers.
        let other = told.label(&ada, &bob, "other");
        assert!(send(&told, "bob", "other") == "sent" && other.pair.as_ref().is_some_and(|pair| pair.told() == 2));

        bob.1.close();
        assert_eq!(send(&told, "bob", "other"), "unknown");
        let next = somebody("bob");
        told.label(&ada, &next, "other");
        assert_eq!((send(&told, "bob", "other"), next.1.messages()), ("sent", 1));
        assert_eq!(
            (told.unfinished(&bob), told.unfinished(&next)),
            (None, Some(1)),
            "each incarnation has numbers of its own"
        );
        // A message to the one that has closed, which comes late, takes nothing away from the next.
        told.label(&ada, &bob, "other");
        assert_eq!((Arc::strong_count(&bob), told.unfinished(&next)), (1, Some(1)));
        told.close();
        told.label(&ada, &next, "other");
        assert_eq!((Arc::strong_count(&next), send(&told, "bob", "other")), (1, "unknown"));
    }

    #[test]
    fn what_is_over_is_forgotten_as_the_table_grows() {
        let (told, ada) = (Told::default(), Arc::<str>::from("ada"));
        let all: Vec<_> = (0..1000).map(|number| somebody(&number.to_string())).collect();
        let is_kept = |number: usize| number % 100 == 7;
        for (number, to) in all.iter().enumerate() {
            told.label(&ada, to, "hello");
            if is_kept(number) {
                assert_eq!(send(&told, to.name(), "hello"), "sent");
            }
        }
        let held = || all.iter().filter(|to| Arc::strong_count(to) > 1).count();
        assert!(held() <= LEN_TO_CLEAN, "{}", held());
        assert!(all.iter().enumerate().all(|(number, to)| told.unfinished(to).is_some() == is_kept(number)));
        // Who closes handles nothing more.
        all.iter().for_each(|to| drop(to.1.close()));
        let more: Vec<_> = (0..LEN_TO_CLEAN).map(|number| somebody(&format!("more {number}"))).collect();
        more.iter().for_each(|to| drop(told.label(&ada, to, "hello")));
        assert_eq!(held(), 0);
    }
}

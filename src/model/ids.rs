//! The slots of the C ABI's ids under loom: their word, and the stack of vacant ones. The file is compiled here a second time, since the
//! rest of the C ABI is nothing for a model.

#[path = "../ffi/slab.rs"]
#[allow(unsafe_code, dead_code, reason = "the values of slots; the table is not here")]
mod slab;

use slab::Slab;

use crate::sync::{Arc, AtomicUsize, JoinHandle, Ordering, ThreadBuilder};

/// A value that notes how many of its kind are there.
struct Value(usize, Arc<AtomicUsize>);

impl Value {
    fn new(number: usize, there: &Arc<AtomicUsize>) -> Value {
        there.fetch_add(1, Ordering::Relaxed);
        Value(number, Arc::clone(there))
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Table {
    slab: Slab<Value>,
    there: Arc<AtomicUsize>,
}

impl Table {
    fn new() -> Arc<Table> {
        Arc::new(Table { slab: Slab::new(0), there: Arc::new(AtomicUsize::new(0)) })
    }

    fn insert(&self, number: usize) -> (u64, u64) {
        let vacant = self.slab.take().unwrap();
        let id = (vacant.number(), vacant.generation());
        vacant.fill(Value::new(number, &self.there));
        id
    }

    /// What the value said; `None` if the id is over.
    fn read(&self, (index, generation): (u64, u64)) -> Option<usize> {
        self.slab.find(index, generation).map(|value| value.0)
    }

    /// Whether this was the call that ended it.
    fn remove(&self, (index, generation): (u64, u64)) -> bool {
        self.slab.remove(index, generation).is_some_and(|value| value.0 > 0)
    }
}

fn start<T: Send + 'static>(table: &Arc<Table>, run: impl FnOnce(&Table) -> T + Send + 'static) -> JoinHandle<T> {
    let table = Arc::clone(table);
    ThreadBuilder::new().spawn(move || run(&table)).unwrap()
}

#[test]
fn a_value_is_read_whole_or_not_at_all_and_dies_once() {
    loom::model(|| {
        let table = Table::new();
        let id = table.insert(1);
        let reader = start(&table, move |table| table.read(id));
        let remover = start(&table, move |table| table.remove(id));
        let removed = table.remove(id);
        assert!(matches!(reader.join().unwrap(), None | Some(1)));
        assert!(remover.join().unwrap() != removed, "one of them ended it");
        assert_eq!(table.there.load(Ordering::Relaxed), 0);
        assert_eq!(table.read(id), None);
        assert!(table.slab.is_over(id.0, id.1));
    });
}

#[test]
fn an_id_that_somebody_guessed_is_found_with_its_value_or_not_at_all() {
    loom::model(|| {
        let table = Table::new();
        let vacant = table.slab.take().unwrap();
        let (index, generation) = (vacant.number(), vacant.generation());
        drop(vacant);
        let guesser = start(&table, move |table| match table.slab.find(index, generation) {
            Some(value) => assert_eq!(value.0, 1),
            None => assert!(!table.slab.is_over(index, generation)),
        });
        assert_eq!(table.insert(1), (index, generation));
        guesser.join().unwrap();
    });
}

#[test]
fn a_slot_that_is_used_again_is_not_found_by_its_former_id() {
    loom::model(|| {
        let table = Table::new();
        let id = table.insert(1);
        let writer = start(&table, move |table| {
            assert!(table.remove(id));
            table.insert(2)
        });
        assert!(matches!(table.read(id), None | Some(1)));
        let next = writer.join().unwrap();
        assert_ne!(id, next);
        assert_eq!((table.read(next), table.there.load(Ordering::Relaxed)), (Some(2), 1));
    });
}

/// With two vacant slots: one thread takes the upper, the lower and gives the upper back, which is what the other may mistake.
#[test]
fn a_vacant_slot_is_taken_by_one() {
    loom::model(|| {
        let table = Table::new();
        let (lower, upper) = (table.insert(1), table.insert(1));
        assert!(table.remove(lower) && table.remove(upper));
        let other = start(&table, move |table| {
            let upper = table.insert(2);
            let lower = table.insert(3);
            assert!(table.remove(upper));
            (lower, table.insert(4))
        });
        let ours = table.insert(5);
        let (lower, upper) = other.join().unwrap();
        assert_eq!([lower, upper, ours].map(|id| table.read(id)), [Some(3), Some(4), Some(5)]);
        assert_eq!(table.there.load(Ordering::Relaxed), 3);
    });
}

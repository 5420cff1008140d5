//! What a request costs: the ratio to the same by hand (two name look-ups under locks, and a reference count), measured in
//! the same run, interleaved. Fails above 20 times that.
//!
//! Prints one CSV line per figure, `workload,param,metric,value,unit`. Each figure is the median of many short rounds, so that a
//! round in which the machine did something else does not count.

use std::collections::HashMap;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use potluck::{Bytes, PeerSystem, Result};

const ROUNDS: usize = 400;
const CALLS: u32 = 2_000;
const RATIO_MAX: f64 = 20.0;

/// The same by hand: peers by name, and on each a shelf by name.
type ByHand = Mutex<HashMap<String, Arc<Mutex<HashMap<String, Arc<Bytes>>>>>>;

fn main() -> ExitCode {
    match measure() {
        Ok(ratio) if ratio <= RATIO_MAX => ExitCode::SUCCESS,
        Ok(ratio) => {
            eprintln!("a request costs {ratio:.1} times its floor, more than {RATIO_MAX}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<f64> {
    let system = PeerSystem::open("bench")?;
    let (ada, bob) = (system.spawn("ada")?, system.spawn("bob")?);
    let body = Bytes::from(vec![7; 64]);
    ada.share("soup", body.clone())?;
    let by_hand: ByHand = Mutex::default();
    by_hand.lock().insert("ada".to_owned(), Arc::default());
    if let Some(shelf) = by_hand.lock().get("ada") {
        shelf.lock().insert("soup".to_owned(), Arc::new(body));
    }

    let (mut requests, mut floors) = (Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS));
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let mut bytes = 0;
        for _ in 0..CALLS {
            bytes += black_box(bob.request(black_box("ada"), black_box("soup"), Duration::from_secs(1))?).len();
        }
        requests.push(start.elapsed());
        assert_eq!(bytes, 64 * CALLS as usize, "all the work was done");

        let start = Instant::now();
        let mut bytes = 0;
        for _ in 0..CALLS {
            let shelf = by_hand.lock().get(black_box("ada")).cloned();
            let held = shelf.and_then(|shelf| shelf.lock().get(black_box("soup")).cloned());
            bytes += black_box(held).map_or(0, |held| held.len());
        }
        floors.push(start.elapsed());
        assert_eq!(bytes, 64 * CALLS as usize, "all the work was done");
    }
    system.shutdown(Duration::from_secs(10))?;

    let (request, floor) = (median_ns(requests), median_ns(floors));
    let ratio = request / floor;
    println!("request,64 B,p50,{request:.0},ns");
    println!("request,64 B,floor,{floor:.0},ns");
    println!("request,64 B,ratio,{ratio:.2},x");
    Ok(ratio)
}

/// The median over the rounds of the time of one call.
fn median_ns(mut rounds: Vec<Duration>) -> f64 {
    rounds.sort_unstable();
    rounds[rounds.len() / 2].as_nanos() as f64 / f64::from(CALLS)
}

//! The floor that we stand on: the engine's own calls, configured as our mesh configures it, answered by threads that are handed the queries.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use zenoh::config::Config;
use zenoh::handlers::FifoChannelHandler;
use zenoh::qos::{CongestionControl, Priority};
use zenoh::query::{ConsolidationMode, Query, QueryTarget, Reply};
use zenoh::{Session, Wait};

use crate::body::SMALL;
use crate::{Outcome, SOON};

const KEYS: &str = "bare/**";
const SMALL_KEY: &str = "bare/small";
const LARGE_KEY: &str = "bare/large";
/// As our mesh asks for what is large.
const PIECE: usize = 4 << 20;
const WINDOW: usize = 3;

fn open(listen: &str, connect: Option<&str>) -> Outcome<Session> {
    let mut config = Config::default();
    let endpoints = |address: Option<&str>| address.map_or_else(|| "[]".to_owned(), |it| format!("[\"tcp/{it}\"]"));
    for (key, value) in [
        ("mode", "\"peer\"".to_owned()),
        ("listen/endpoints", endpoints(Some(listen))),
        ("connect/endpoints", endpoints(connect)),
        ("open/return_conditions", "{ connect_scouted: false, declares: false }".to_owned()),
        ("scouting/multicast/enabled", "false".to_owned()),
        ("scouting/gossip/enabled", "true".to_owned()),
        ("transport/link/protocols", "[\"tcp\"]".to_owned()),
        ("transport/link/tx/lease", "2000".to_owned()),
        ("transport/link/tx/queue/size/data", "16".to_owned()),
        ("transport/link/tx/queue/congestion_control/block/wait_before_close", "2000000".to_owned()),
        ("transport/link/rx/max_message_size", (16 << 20).to_string()),
        ("queries_default_timeout", "60000".to_owned()),
    ] {
        config.insert_json5(key, &value)?;
    }
    zenoh::open(config).wait()
}

/// Answers until it is dropped.
pub(crate) struct Answerer {
    _session: Session,
}

impl Answerer {
    /// One thread for what is small, and two for pieces, which reached more than one.
    pub(crate) fn open(address: &str, body: &Bytes) -> Outcome<Answerer> {
        let session = open(address, None)?;
        let small = worker(body.clone())?;
        let large = [worker(body.clone())?, worker(body.clone())?];
        let next = AtomicUsize::new(0);
        let take = move |query: Query| {
            let to = match query.key_expr().as_str() {
                SMALL_KEY => &small,
                _ => &large[next.fetch_add(1, Ordering::Relaxed) % large.len()],
            };
            let _ = to.send(query);
        };
        session.declare_queryable(KEYS).callback(take).background().wait()?;
        Ok(Answerer { _session: session })
    }
}

/// A thread that answers what it is sent.
fn worker(body: Bytes) -> Outcome<mpsc::Sender<Query>> {
    let (to, queries) = mpsc::channel::<Query>();
    thread::Builder::new().name("bare engine".to_owned()).spawn(move || {
        while let Ok(query) = queries.recv() {
            let number = |name: &str| query.parameters().get(name).and_then(|text| text.parse::<usize>().ok());
            let (offset, len) = (number("offset").unwrap_or(0), number("len").unwrap_or(SMALL));
            let _ = query.reply(query.key_expr().clone(), body.slice(offset..offset + len)).wait();
        }
    })?;
    Ok(to)
}

pub(crate) struct Asker(Session);

impl Asker {
    pub(crate) fn open(address: &str) -> Outcome<Asker> {
        let asker = Asker(open("127.0.0.1:0", Some(address))?);
        // Without an answer until the other side's keys are known here.
        let until = Instant::now() + SOON;
        while asker.small().is_err() {
            if Instant::now() > until {
                return Err("the bare engine does not answer".into());
            }
        }
        Ok(asker)
    }

    fn get(&self, selector: &str, priority: Priority) -> Outcome<FifoChannelHandler<Reply>> {
        self.0
            .get(selector)
            .target(QueryTarget::BestMatching)
            .consolidation(ConsolidationMode::None)
            .congestion_control(CongestionControl::Block)
            .priority(priority)
            .timeout(SOON)
            .wait()
    }

    /// Gets 64 bytes.
    pub(crate) fn small(&self) -> Outcome<Vec<u8>> {
        let replies = self.get(SMALL_KEY, Priority::InteractiveHigh)?;
        let sample = replies.recv()?.into_result().map_err(|error| format!("{error:?}"))?;
        Ok(sample.payload().to_bytes().into_owned())
    }

    /// Gets so many bytes, piece by piece, into their place.
    pub(crate) fn large(&self, size: usize) -> Outcome<Vec<u8>> {
        let mut body = Vec::with_capacity(size);
        let (mut asked, mut pieces) = (0, VecDeque::new());
        while body.len() < size {
            while pieces.len() < WINDOW && asked < size {
                let len = PIECE.min(size - asked);
                pieces.push_back(self.get(&format!("{LARGE_KEY}?offset={asked};len={len}"), Priority::Data)?);
                asked += len;
            }
            let piece = pieces.pop_front().ok_or("no piece is on its way")?;
            let sample = piece.recv()?.into_result().map_err(|error| format!("{error:?}"))?;
            sample.payload().slices().for_each(|slice| body.extend_from_slice(slice));
        }
        Ok(body)
    }
}

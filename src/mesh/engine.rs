//! The engine's session: what it is configured with, and the few things that are asked of it. No other file says how the engine is used.
//!
//! Its callbacks run on the threads that read from the links, or inside of a call here: what they run neither waits nor runs users' code, no lock is
//! held around any call here, and a panic ends before it reaches the engine, which would go deaf by it.

use std::collections::BTreeMap;
use std::net::{TcpListener, ToSocketAddrs, UdpSocket};
use std::path::Path;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use zenoh::bytes::ZBytes;
use zenoh::config::Config;
use zenoh::key_expr::KeyExpr;
use zenoh::liveliness::LivelinessToken;
use zenoh::qos::{CongestionControl, Priority};
use zenoh::query::{ConsolidationMode, QueryTarget};
use zenoh::sample::SampleKind;
use zenoh::{Session, Wait};

use super::Mesh;
use super::keys::{Keys, NodeId};
use crate::error::{Error, Result};
use crate::snapshot::Quoted;
use crate::sync::{Instant, Mutex};
use crate::unwind::caught;

pub(super) const LEASE: Duration = Duration::from_secs(2);
/// The most that is sent in one message besides its header: with that, and with its key, it fits into one batch of a link. One that does not is sent as several
/// batches, and waits for room as long as `config` says for each, added up.
pub(super) const MESSAGE_BODY_MAX: usize = 60 << 10;
/// Nobody sends more in one message with all that belongs to it, and the engine drops what is more.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// No answer that is gathered has a larger body.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// What a query brought; without a header it was refused.
#[derive(Default)]
pub(super) struct Reply {
    pub(super) header: Vec<u8>,
    pub(super) body: ZBytes,
}

/// A message of an answer. They come in turn.
pub(super) enum Part {
    /// The first: the beginning of a body of `len` bytes.
    First { header: Vec<u8>, len: usize, body: ZBytes },
    /// More of the body.
    More(ZBytes),
    /// The query was refused: why.
    Refused(ZBytes),
}

/// How urgent a query and its answer are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rank {
    Small,
    /// Behind all that is small.
    Bulk,
}

/// A small body of its own: as it came it would hold all of the buffer that it was read into.
pub(super) fn copied(body: &ZBytes) -> Bytes {
    Bytes::from(body.to_bytes().into_owned())
}

/// A query that has come in. Dropping it ends it.
pub(super) struct Incoming {
    query: zenoh::query::Query,
    pub(super) came_at: Instant,
}

impl Incoming {
    pub(super) fn key(&self) -> &str {
        self.query.key_expr().as_str()
    }

    pub(super) fn header(&self) -> Vec<u8> {
        self.query.attachment().map(|header| header.to_bytes().into_owned()).unwrap_or_default()
    }

    pub(super) fn body_len(&self) -> usize {
        self.query.payload().map_or(0, ZBytes::len)
    }

    pub(super) fn body(&self) -> Bytes {
        self.query.payload().map(copied).unwrap_or_default()
    }

    /// One of the parameters that a stranger gave.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.parameters().get(name)
    }

    pub(super) fn has_no_wildcard(&self) -> bool {
        !self.query.key_expr().as_str().contains('*')
    }

    /// Answers, in as many messages as it takes. Waits while the link has no room.
    pub(super) fn answer(&self, header: &[u8], body: Bytes) {
        self.answer_while(header, body, || true);
    }

    /// As long as somebody wants it, which is asked after each message.
    pub(super) fn answer_while(&self, header: &[u8], mut body: Bytes, is_wanted: impl Fn() -> bool) {
        let mut attachment = (body.len() as u32).to_le_bytes().to_vec();
        attachment.extend_from_slice(header);
        let first = body.split_to(body.len().min(MESSAGE_BODY_MAX));
        self.reply(attachment, first);
        while !body.is_empty() && is_wanted() {
            let next = body.split_to(body.len().min(MESSAGE_BODY_MAX));
            self.reply(Vec::new(), next);
        }
    }

    /// Answers a stranger, in one message.
    pub(super) fn answer_stranger(&self, about: String, body: Bytes) {
        self.reply(about.into_bytes(), body);
    }

    fn reply(&self, attachment: Vec<u8>, body: Bytes) {
        let reply = self.query.reply(self.query.key_expr().clone(), body);
        // Whoever asked has gone: he will not miss it.
        let _ = match attachment.is_empty() {
            true => reply.wait(),
            false => reply.attachment(attachment).wait(),
        };
    }

    pub(super) fn refuse(&self, text: &str) {
        let _ = self.query.reply_err(text).wait();
    }
}

/// The session of one node.
pub(super) struct Engine {
    session: Session,
    /// The keys under which the nodes that are there are asked. Its lock is a leaf.
    declared: Mutex<BTreeMap<NodeId, Declared>>,
}

/// A key that the engine knows by a number: it looks up once, and not with each query, where that leads. Dropping the last reference to it is a call of the
/// engine.
#[derive(Clone)]
pub(super) struct Declared(KeyExpr<'static>);

impl Engine {
    /// Opens a session. Its threads have the signal mask of the thread that opens the first one.
    pub(super) fn open(options: &Mesh, keys: &Keys, me: &NodeId) -> Result<Engine> {
        let config = config(options, keys, me)?;
        for address in &options.listen {
            try_to_listen(address, options.tls.is_some())?;
        }
        let session = zenoh::open(config).wait().map_err(|error| {
            let listens = options.listen.join(", ");
            let tls = options
                .tls
                .as_ref()
                .map_or(String::new(), |tls| format!(" and tls by {:?}, {:?}, {:?}", tls.ca, tls.certificate, tls.key));
            Error::InvalidArgument(format!("cannot join with listen [{listens}]{tls}: {}", text(&*error)))
        })?;
        Ok(Engine { session, declared: Mutex::default() })
    }

    /// A token that is there until it is dropped.
    pub(super) fn declare_token(&self, key: String) -> Result<LivelinessToken> {
        self.session.liveliness().declare_token(key).wait().map_err(failed)
    }

    /// Is told of tokens that come, and of those that go; first of those that are there.
    pub(super) fn watch_tokens(&self, keys: String, told: impl Fn(&str, bool) + Send + Sync + 'static) -> Result<()> {
        let watch = self.session.liveliness().declare_subscriber(keys).history(true).callback(move |sample| {
            let is_there = sample.kind() == SampleKind::Put;
            let _ = caught(|| told(sample.key_expr().as_str(), is_there));
        });
        watch.background().wait().map_err(failed)
    }

    /// Is given the queries that come for these keys.
    pub(super) fn serve(&self, keys: String, serve: impl Fn(Incoming) + Send + Sync + 'static) -> Result<()> {
        let queryable = self.session.declare_queryable(keys).callback(move |query| {
            let _ = caught(|| serve(Incoming { query, came_at: Instant::now() }));
        });
        queryable.background().wait().map_err(failed)
    }

    /// Declares the key under which a node is asked, until it is forgotten. Asking works without that, and takes longer.
    pub(super) fn declare(&self, node: &NodeId, key: String) {
        if let Ok(key) = self.session.declare_keyexpr(key).wait() {
            let before = self.declared.lock().insert(node.clone(), Declared(key));
            drop(before);
        }
    }

    /// Gives what was declared for a node to whoever drops it. A query may be about to use it: it is to be dropped some time later, and not in a callback.
    pub(super) fn forget(&self, node: &NodeId) -> Option<Declared> {
        self.declared.lock().remove(node)
    }

    /// Asks another node, under a key that is made if none has been declared for it. `each` gets one part of the answer after the other, on the thread that reads
    /// from that link, and `None` when no more comes: it is over, nobody is there, the link broke, or it is not let through.
    pub(super) fn query(
        &self,
        node: &NodeId,
        key: impl FnOnce() -> String,
        (header, body): (Vec<u8>, Bytes),
        rank: Rank,
        timeout: Duration,
        each: impl Fn(Option<Part>) + Send + Sync + 'static,
    ) {
        let each = Each(each);
        let priority = match rank {
            Rank::Small => Priority::InteractiveHigh,
            Rank::Bulk => Priority::Data,
        };
        let declared = self.declared.lock().get(node).cloned();
        let key = declared.map_or_else(|| key().try_into(), |Declared(key)| Ok(key));
        // Names of nodes make good keys.
        let Ok(key): zenoh::Result<KeyExpr<'static>> = key else { return };
        let asked = self
            .session
            .get(key)
            .attachment(header)
            .payload(body)
            .target(QueryTarget::BestMatching)
            .consolidation(ConsolidationMode::None)
            .congestion_control(CongestionControl::Block)
            .priority(priority)
            .timeout(timeout)
            .callback(move |reply| match reply.into_result() {
                Ok(sample) => match sample.attachment() {
                    Some(attachment) => each.tell(Some(first(&attachment.to_bytes(), sample.payload().clone()))),
                    None => each.tell(Some(Part::More(sample.payload().clone()))),
                },
                // The engine's own word for no answer in time.
                Err(error) if *error.payload().to_bytes() == *b"Timeout" => {}
                Err(error) => each.tell(Some(Part::Refused(error.payload().clone()))),
            });
        // At the end the callback is dropped, which tells it.
        let _ = asked.wait();
    }

    /// Ends the session; waits for it.
    pub(super) fn close(&self) {
        let _ = caught(|| self.session.close().wait());
    }
}

/// The first part of an answer, from what is attached to it.
fn first(attachment: &[u8], body: ZBytes) -> Part {
    match attachment.split_first_chunk() {
        Some((len, header)) => Part::First { header: header.to_vec(), len: u32::from_le_bytes(*len) as usize, body },
        None => Part::Refused(body),
    }
}

/// For `query`: tells once of the whole answer, or that there is none.
pub(super) fn whole(then: impl FnOnce(Option<Reply>) + Send) -> impl Fn(Option<Part>) + Send + Sync {
    let state = Mutex::new((Gathered::default(), Some(then)));
    move |part| {
        let over = {
            let (gathered, then) = &mut *state.lock();
            match gathered.take(part) {
                Poll::Ready(reply) => then.take().map(|then| (then, reply)),
                Poll::Pending => None,
            }
        };
        if let Some((then, reply)) = over {
            then(reply);
        }
    }
}

/// What has come of an answer.
#[derive(Default)]
struct Gathered {
    reply: Reply,
    /// So many bytes of it have not.
    left: usize,
}

impl Gathered {
    fn take(&mut self, part: Option<Part>) -> Poll<Option<Reply>> {
        let body = match part {
            Some(Part::First { header, len, body }) if len <= ANSWER_BYTES_MAX => {
                *self = Gathered { reply: Reply { header, body: ZBytes::new() }, left: len };
                body
            }
            Some(Part::More(body)) => body,
            Some(Part::Refused(body)) => return Poll::Ready(Some(Reply { header: Vec::new(), body })),
            // What has come so far is no answer.
            Some(Part::First { .. }) | None => return Poll::Ready(None),
        };
        let Some(left) = self.left.checked_sub(body.len()) else { return Poll::Ready(None) };
        self.left = left;
        self.reply.body = match self.reply.body.is_empty() {
            true => body,
            false => {
                let mut both = ZBytes::writer();
                both.append(std::mem::take(&mut self.reply.body));
                both.append(body);
                both.finish()
            }
        };
        match left {
            0 => Poll::Ready(Some(std::mem::take(&mut self.reply))),
            _ => Poll::Pending,
        }
    }
}

/// Tells of each part in turn, and at the end that no more comes.
struct Each<F: Fn(Option<Part>)>(F);

impl<F: Fn(Option<Part>)> Each<F> {
    fn tell(&self, part: Option<Part>) {
        let _ = caught(|| (self.0)(part));
    }
}

impl<F: Fn(Option<Part>)> Drop for Each<F> {
    fn drop(&mut self) {
        self.tell(None);
    }
}

/// How long a link may be silent.
pub(super) fn lease(options: &Mesh) -> Duration {
    options.lease.unwrap_or(LEASE)
}

fn config(options: &Mesh, keys: &Keys, me: &NodeId) -> Result<Config> {
    let mut config = Config::default();
    let mut set = |key: &str, value: String| {
        let set = config.insert_json5(key, &value);
        set.map_err(|error| {
            Error::InvalidArgument(format!("the engine does not take {key} {value}: {}", text(&*error)))
        })
    };
    // QUIC has TLS in it. The engine's TLS over TCP reads and writes one stream from two threads, without a lock.
    let protocol = if options.tls.is_some() { "quic" } else { "tcp" };
    let endpoints = |addresses: &[String]| list(addresses.iter().map(|address| format!("{protocol}/{address}")));
    let lease = lease(options);
    let near = ["127.0.0.1:0".to_owned()];
    set("mode", Quoted("peer").to_string())?;
    set("listen/endpoints", endpoints(if options.listen.is_empty() { &near } else { &options.listen }))?;
    set("connect/endpoints", endpoints(&options.connect))?;
    set("connect/retry", r#"{ period_init_ms: 100, period_max_ms: 1000, period_increase_factor: 2 }"#.to_owned())?;
    set("open/return_conditions", "{ connect_scouted: false, declares: false }".to_owned())?;
    set("scouting/multicast/enabled", options.multicast.to_string())?;
    set("scouting/gossip/enabled", (!options.no_gossip).to_string())?;
    set("transport/link/protocols", list([protocol.to_owned()].into_iter()))?;
    set("transport/link/tx/lease", lease.as_millis().to_string())?;
    set("transport/link/tx/queue/size/data", "16".to_owned())?;
    // How long a message waits for room on a link, which is taken for dead then. A link that ends meanwhile does not end this wait, and until it is over the
    // engine's one thread that writes is kept from all links: so not much longer than the lease, or others would take this node for gone.
    let wait = (lease * 3 / 2).as_micros().to_string();
    set("transport/link/tx/queue/congestion_control/block/wait_before_close", wait)?;
    set("transport/link/rx/max_message_size", MESSAGE_BYTES_MAX.to_string())?;
    // Ours all say their own.
    set("queries_default_timeout", "60000".to_owned())?;
    if let Some(tls) = &options.tls {
        let file = |path: &Path| match (path.to_str(), std::fs::metadata(path)) {
            (Some(name), Ok(_)) => Ok(Quoted(name).to_string()),
            (_, Err(error)) => Err(Error::InvalidArgument(format!("the file {path:?} of tls: {error}"))),
            (None, _) => Err(Error::InvalidArgument(format!("the file {path:?} of tls has a name that is no UTF-8"))),
        };
        set("transport/link/tls/root_ca_certificate", file(&tls.ca)?)?;
        for side in ["listen", "connect"] {
            set(&format!("transport/link/tls/{side}_certificate"), file(&tls.certificate)?)?;
            set(&format!("transport/link/tls/{side}_private_key"), file(&tls.key)?)?;
        }
        set("transport/link/tls/enable_mtls", "true".to_owned())?;
        set("transport/link/tls/verify_name_on_connect", "true".to_owned())?;
        set("transport/link/tls/close_link_on_expiration", "true".to_owned())?;
    }
    if !options.allow.is_empty() {
        set("access_control", access_control(&options.allow, keys, &me.name))?;
    }
    Ok(config)
}

/// Each node that may come in, by the common name of its certificate, may speak under its own name alone, and ask under it; all others
/// may nothing.
fn access_control(allow: &[String], keys: &Keys, me: &str) -> String {
    let (mut rules, mut subjects, mut policies) = (Vec::new(), Vec::new(), Vec::new());
    for (number, node) in allow.iter().filter(|node| *node != me).enumerate() {
        let mut ids = Vec::new();
        for (flow, speaker, hearer) in [("ingress", node.as_str(), me), ("egress", me, node.as_str())] {
            let own = keys.rules(speaker);
            let asks = keys.queries_between(speaker, hearer);
            let answers = keys.queries_between(hearer, speaker);
            for (messages, keys) in [
                (&["liveliness_token"][..], own.tokens),
                (&["declare_queryable"], own.queryables),
                (&["declare_liveliness_subscriber", "liveliness_query"], own.presence),
                (&["query"], asks),
                (&["reply"], answers),
            ] {
                let id = format!("{number}-{flow}-{}", messages[0]);
                rules.push(format!(
                    "{{ id: {}, permission: \"allow\", flows: [\"{flow}\"], messages: {}, key_exprs: {} }}",
                    Quoted(&id),
                    list(messages.iter().map(|message| (*message).to_owned())),
                    list(keys.into_iter()),
                ));
                ids.push(id);
            }
        }
        subjects.push(format!("{{ id: \"{number}\", cert_common_names: [{}] }}", Quoted(node)));
        policies.push(format!("{{ rules: {}, subjects: [\"{number}\"] }}", list(ids.into_iter())));
    }
    format!(
        "{{ enabled: true, default_permission: \"deny\", rules: [{}], subjects: [{}], policies: [{}] }}",
        rules.join(", "),
        subjects.join(", "),
        policies.join(", ")
    )
}

fn list(texts: impl Iterator<Item = String>) -> String {
    let texts: Vec<String> = texts.map(|text| Quoted(&text).to_string()).collect();
    format!("[{}]", texts.join(", "))
}

/// Says clearly, and before the engine does, why an address cannot be listened on.
fn try_to_listen(address: &str, is_quic: bool) -> Result<()> {
    let bound = address.to_socket_addrs().and_then(|addresses| {
        let addresses: Vec<_> = addresses.collect();
        if is_quic { UdpSocket::bind(&*addresses).map(drop) } else { TcpListener::bind(&*addresses).map(drop) }
    });
    bound.map_err(|error| Error::InvalidArgument(format!("cannot listen on {address:?}: {error}")))
}

fn failed(error: zenoh::Error) -> Error {
    Error::Internal(format!("the engine: {}", text(&*error)))
}

/// What the engine says, as one line, without where in its sources it says so.
fn text(error: &(dyn std::error::Error + Send + Sync)) -> String {
    let said = error.to_string();
    let parts = said.split(" - Caused by ").map(|part| match part.rfind(" at ") {
        Some(at) => &part[..at],
        None => part,
    });
    let line: Vec<&str> = parts.collect();
    line.join(": ").replace(['\n', '\r'], " ")
}

//! Who is kept out by mutual TLS and the list of those who may come in, and that the others are let in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use potluck::{Error, Mesh, Peer, PeerSystem, SystemOptions};
use zenoh::Wait;

use crate::nodes::{address, host as own_host, open, see};
use crate::support::{LONG, NOW, drain, host, no_such_peer};
use crate::tools::{are_there, run};

/// How long an intruder tries.
const TRIES: std::time::Duration = std::time::Duration::from_secs(3);

/// A folder with an authority and the certificates that it has given.
struct Authority(PathBuf);

impl Authority {
    fn new(test: &str, name: &str) -> Authority {
        // Another run of the same tests has its own.
        let folder = format!("mesh-{}-{test}-{name}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
        fs::create_dir_all(&folder).unwrap();
        let authority = Authority(folder);
        authority.openssl(&format!("req -x509 {KEY} -keyout ca.key -out ca.pem -days 2 -subj /CN={name}"));
        authority
    }

    /// A certificate for both roles, of this common name, on the address of this process.
    fn certify(&self, node: &str) {
        let extensions = format!(
            "subjectAltName=IP:{}\nextendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=CA:FALSE\n",
            own_host()
        );
        fs::write(self.0.join("extensions"), extensions).unwrap();
        self.openssl(&format!("req {KEY} -keyout {node}.key -out {node}.csr -subj /CN={node}"));
        self.openssl(&format!(
            "x509 -req -in {node}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out {node}.pem"
        ));
    }

    fn openssl(&self, arguments: &str) {
        run(Command::new("openssl").args(arguments.split(' ')).current_dir(&self.0));
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The options of a node with the certificate of that name.
    fn mesh(&self, node: &str, certificate: &str) -> Mesh {
        let [cert, key] = ["pem", "key"].map(|end| self.file(&format!("{certificate}.{end}")));
        Mesh::new().node(node).tls(self.file("ca.pem"), cert, key).listen(address())
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        // What is left of it harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";

/// Two nodes with TLS that let each other and a phone in, and their peers; the first address.
struct Guarded {
    authority: Authority,
    contact: String,
    desk: PeerSystem,
    laptop: PeerSystem,
    bob: Peer,
    ada: Peer,
}

fn guarded(test: &str) -> Guarded {
    let authority = Authority::new(test, "house");
    ["desk", "laptop", "phone", "mallory"].iter().for_each(|node| authority.certify(node));
    let contact = address();
    let mesh = |node: &str| {
        let mesh = authority.mesh(node, node);
        ["desk", "laptop", "phone"].into_iter().fold(mesh, Mesh::allow)
    };
    let desk = open("kitchen", mesh("desk").listen(&*contact));
    let laptop = open("kitchen", mesh("laptop").connect(&*contact));
    let (ada, bob) = (desk.spawn("ada").unwrap(), laptop.spawn("bob").unwrap());
    ada.share("soup", "tomato").unwrap();
    see(&laptop, "ada@desk");
    see(&desk, "bob@laptop");
    Guarded { authority, contact, desk, laptop, bob, ada }
}

impl Guarded {
    fn phone(&self) -> Mesh {
        let mesh = self.authority.mesh("phone", "phone").connect(&*self.contact);
        ["desk", "laptop", "phone"].into_iter().fold(mesh, Mesh::allow)
    }
}

#[test]
fn whoever_is_on_the_list_comes_in_and_every_call_works() {
    if !are_there(&["openssl"], "nodes with certificates") {
        return;
    }
    let guarded = guarded("good");
    let Guarded { ada, bob, desk, .. } = &guarded;
    assert_eq!(bob.request("ada", "soup", LONG).unwrap().bytes(), b"tomato");
    bob.share("dish", "bob's").unwrap();
    bob.offer("ada", "dish", LONG).unwrap();
    ada.share("dish", "ada's").unwrap();
    assert_eq!(bob.exchange("ada", "dish", LONG).unwrap().bytes(), b"ada's");
    bob.tell("ada", "hello", crate::content::noise(1, 1_000_000), LONG).unwrap();
    assert_eq!(ada.receive(LONG).unwrap().bytes().len(), 1_000_000);
    let body = crate::content::noise(2, 24 << 20);
    ada.share("large", body.clone()).unwrap();
    assert_eq!(bob.fetch("large", 6 * LONG).unwrap().bytes(), &body[..]);
    let phone = open("kitchen", guarded.phone());
    let kim = phone.spawn("kim").unwrap();
    see(&phone, "ada@desk");
    see(&phone, "bob@laptop");
    see(desk, "kim@phone");
    kim.request("bob@laptop", "soup", LONG).unwrap();
    ada.request("kim", "soup", LONG).unwrap();
    assert_eq!(phone.holders("soup").unwrap().len(), 3);
}

/// Reading and writing at the same time is what TLS streams are not made for: eclipse-zenoh/zenoh#2557.
#[test]
fn large_resources_in_both_directions_at_once_break_no_link() {
    if !are_there(&["openssl"], "large resources by TLS") {
        return;
    }
    let guarded = guarded("large");
    let Guarded { ada, bob, desk, laptop, .. } = &guarded;
    let events = laptop.events(10_000).unwrap();
    drain(&events);
    let (here, there) = (crate::content::noise(2, 24 << 20), crate::content::noise(3, 24 << 20));
    bob.share("here", here.clone()).unwrap();
    ada.share("there", there.clone()).unwrap();
    for _ in 0..8 {
        let getter = ada.clone();
        let gets = host(move || getter.request("bob@laptop", "here", 6 * LONG));
        assert_eq!(bob.request("ada@desk", "there", 6 * LONG).unwrap().bytes(), &there[..]);
        assert_eq!(gets.result_within(7 * LONG).unwrap().bytes(), &here[..]);
    }
    let gone = drain(&events).into_iter().find(|event| matches!(event, potluck::Event::Left { .. }));
    assert_eq!(gone, None);
    assert_eq!(desk.peers().unwrap(), ["ada", "bob@laptop"]);
}

#[test]
fn whoever_shows_no_certificate_of_the_authority_or_has_no_permission_is_kept_out() {
    if !are_there(&["openssl"], "nodes that are kept out") {
        return;
    }
    let guarded = guarded("bad");
    let Guarded { authority, contact, desk, laptop, .. } = &guarded;
    let strangers = Authority::new("bad", "strangers");
    strangers.certify("phone");
    // Of the wrong authority, though it trusts the right one.
    let [cert, key] = ["phone.pem", "phone.key"].map(|file| strangers.file(file));
    let forged = Mesh::new().node("phone").tls(authority.file("ca.pem"), cert, key).listen(address());
    let intruders = [
        ("another authority", strangers.mesh("phone", "phone")),
        ("a certificate of another authority", forged),
        ("plain TCP", Mesh::new().node("phone").listen(address())),
        ("no permission", authority.mesh("mallory", "mallory")),
    ];
    let tries: Vec<_> = intruders
        .into_iter()
        .map(|(what, mesh)| {
            let system = open("kitchen", mesh.connect(&**contact));
            let eve = system.spawn("eve").unwrap();
            let tries = host(move || {
                let seen = system.wait_for("@desk", TRIES);
                let called = eve.tell("ada@desk", "let me in", "", TRIES);
                (seen, called, system.peers().unwrap(), system.holders("soup").unwrap().len())
            });
            (what, tries)
        })
        .collect();
    for (what, tries) in tries {
        let (seen, called, peers, holders) = tries.result_within(2 * LONG);
        assert_eq!(seen, Err(Error::TimedOut), "{what}");
        let is_out = matches!(called, Err(Error::NoSuchPeer { .. } | Error::Denied { .. }));
        assert!(is_out, "{what}: {called:?}");
        assert_eq!((peers.len(), holders), (1, 0), "{what}: {peers:?}");
    }
    // Meanwhile the good ones know each other alone, and one more comes in.
    assert_eq!(desk.peers().unwrap(), ["ada", "bob@laptop"]);
    assert_eq!(laptop.peers().unwrap(), ["bob", "ada@desk"]);
    assert_eq!(desk.dead_letters().unwrap().count, 0);
    let phone = open("kitchen", guarded.phone());
    see(&phone, "ada@desk");
    phone.spawn("kim").unwrap();
    see(laptop, "kim@phone");
    assert_eq!(laptop.peers().unwrap(), ["bob", "ada@desk", "kim@phone"]);
}

#[test]
fn a_certificate_is_for_the_node_of_its_name_alone() {
    if !are_there(&["openssl"], "a node with the certificate of another") {
        return;
    }
    let Guarded { authority, contact, laptop, ada, .. } = &guarded("name");
    for (node, certificate) in [("desk", "mallory"), ("desk", "phone"), ("other", "phone")] {
        let mesh = ["desk", "laptop", "phone"].into_iter().fold(authority.mesh(node, certificate), Mesh::allow);
        match PeerSystem::open_with("kitchen", SystemOptions::new().mesh(mesh.connect(&**contact))) {
            // It may say so at once ...
            Err(Error::InvalidArgument(what)) => assert!(what.contains(certificate), "{what}"),
            // ... or be let in to read, as whom it is, but not to speak.
            Ok(system) => {
                let eve = system.spawn("eve").unwrap();
                let told = eve.tell("ada@desk", "hello", "", TRIES);
                assert!(told.is_err(), "{node} as {certificate}");
            }
            Err(other) => panic!("{other:?}"),
        }
        assert_eq!(laptop.peers().unwrap(), ["bob", "ada@desk"], "{node} as {certificate}");
        assert_eq!(ada.receive(NOW).map(drop), Err(Error::TimedOut), "{node} as {certificate}");
    }
}

#[test]
fn files_that_cannot_be_used_are_named() {
    if !are_there(&["openssl"], "files that are no certificates") {
        return;
    }
    let authority = Authority::new("files", "house");
    authority.certify("desk");
    fs::write(authority.file("text"), "not a certificate").unwrap();
    let [ca, cert, key] = ["ca.pem", "desk.pem", "desk.key"].map(|file| authority.file(file));
    for wrong in ["missing", "text"].map(|file| authority.file(file)) {
        for files in [[&wrong, &cert, &key], [&ca, &wrong, &key], [&ca, &cert, &wrong]] {
            let mesh = Mesh::new().node("desk").listen(address()).tls(files[0], files[1], files[2]);
            let result = PeerSystem::open_with("kitchen", SystemOptions::new().mesh(mesh));
            let Err(Error::InvalidArgument(what)) = result else { panic!("{files:?}: {result:?}") };
            assert!(what.contains(&*wrong.to_string_lossy()) && !what.contains('\n'), "{what}");
        }
    }
}

/// A session of the engine, with what the file says of TLS.
fn session(guarded: &Guarded, certificate: Option<&str>) -> zenoh::Session {
    let file = |name: &str| guarded.authority.file(name).to_string_lossy().into_owned();
    let own = certificate.map_or(String::new(), |name| {
        let (cert, key) = (file(&format!("{name}.pem")), file(&format!("{name}.key")));
        format!("enable_mtls: true, connect_certificate: {cert:?}, connect_private_key: {key:?},")
    });
    let (contact, ca) = (format!("quic/{}", guarded.contact), file("ca.pem"));
    let config = format!(
        "{{ mode: 'peer', connect: {{ endpoints: [{contact:?}] }}, listen: {{ endpoints: [] }},
            scouting: {{ multicast: {{ enabled: false }} }},
            transport: {{ link: {{ tls: {{ {own} root_ca_certificate: {ca:?} }} }} }} }}"
    );
    zenoh::open(zenoh::Config::from_json5(&config).unwrap()).wait().unwrap()
}

/// What the engine answers to a question about a resource.
fn engine_gets(session: &zenoh::Session, key: &str) -> Vec<Vec<u8>> {
    let replies = session.get(key).timeout(TRIES).wait().unwrap();
    let mut bodies = Vec::new();
    while let Ok(reply) = replies.recv_timeout(2 * TRIES) {
        match reply {
            Some(reply) => bodies.extend(reply.result().ok().map(|sample| sample.payload().to_bytes().into_owned())),
            None => break,
        }
    }
    bodies
}

#[test]
fn the_engine_itself_reads_and_speaks_only_with_permission_and_only_for_its_own_name() {
    if !are_there(&["openssl"], "sessions of the engine that would break in") {
        return;
    }
    let guarded = guarded("engine");
    let Guarded { desk, laptop, bob, .. } = &guarded;
    let key = "potluck/kitchen/r/desk/ada/soup";
    let present = |session: &zenoh::Session| -> Vec<String> {
        let tokens = session.liveliness().get("potluck/kitchen/p/**").timeout(TRIES).wait().unwrap();
        let mut keys = Vec::new();
        while let Ok(Some(reply)) = tokens.recv_timeout(2 * TRIES) {
            keys.extend(reply.result().ok().map(|sample| sample.key_expr().to_string()));
        }
        // Its own it knows.
        keys.retain(|key| !key.contains("/mallory/"));
        keys
    };
    for certificate in [None, Some("mallory")] {
        let intruder = session(&guarded, certificate);
        let _token = intruder.liveliness().declare_token("potluck/kitchen/p/mallory/0123456789abcdef/eve").wait();
        assert_eq!(engine_gets(&intruder, key), [b""; 0], "{certificate:?}");
        assert_eq!(present(&intruder), [""; 0], "{certificate:?}");
        intruder.close().wait().unwrap();
    }
    // One that may come in, reads; and says that it is the desk.
    let phone = session(&guarded, Some("phone"));
    crate::nodes::until("the phone is let in", || {
        engine_gets(&phone, key).first().map(|body| assert_eq!(body, b"tomato"))
    });
    let _token = phone.liveliness().declare_token("potluck/kitchen/p/desk/0123456789abcdef/eve").wait();
    let poison = |query: zenoh::query::Query| drop(query.reply(query.key_expr().clone(), "poison").wait());
    let _queryable = phone.declare_queryable("potluck/kitchen/r/desk/**").callback(poison).wait();
    let _other = phone.declare_queryable("potluck/kitchen/**").callback(poison).wait();
    for _ in 0..20 {
        assert_eq!(bob.request("ada@desk", "soup", LONG).unwrap().bytes(), b"tomato");
        bob.unshare("soup").unwrap();
        assert_eq!(bob.fetch("soup", LONG).unwrap().bytes(), b"tomato");
    }
    assert_eq!(bob.tell("eve@desk", "hello", "", LONG).unwrap_err(), no_such_peer("eve@desk"));
    assert_eq!(laptop.peers().unwrap(), ["bob", "ada@desk"]);
    assert_eq!(desk.peers().unwrap(), ["ada", "bob@laptop"]);
    phone.close().wait().unwrap();
}

//! What joining says to what it cannot use.

use std::time::Duration;

use potluck::{Error, Mesh, PeerSystem, SystemOptions};

use crate::nodes::{address, at_once, open};
use crate::support::{LONG, NOW};

fn refused(mesh: Mesh) -> String {
    match at_once(|| PeerSystem::open_with("kitchen", SystemOptions::new().mesh(mesh))) {
        Err(Error::InvalidArgument(what)) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_address_that_is_in_use_is_named() {
    let taken = address();
    let _listener = std::net::TcpListener::bind(&*taken).unwrap();
    let what = refused(Mesh::new().node("desk").listen(&*taken));
    assert!(what.contains(&taken) && !what.contains('\n'), "{what}");
    // Of several, too.
    let what = refused(Mesh::new().node("desk").listen(address()).listen(&*taken));
    assert!(what.contains(&taken), "{what}");
    let other = address();
    let _first = open("kitchen", Mesh::new().node("desk").listen(&*other));
    let what = refused(Mesh::new().node("laptop").listen(&*other));
    assert!(what.contains(&other), "{what}");
}

#[test]
fn an_address_that_is_not_this_machines_is_named() {
    // Of the block that is for documents.
    let far = "192.0.2.1:7447";
    let what = refused(Mesh::new().node("desk").listen(far).listen_everywhere_without_tls(true));
    assert!(what.contains(far), "{what}");
}

#[test]
fn options_that_make_no_sense_are_refused() {
    for (mesh, word) in [
        (Mesh::new().listen("7447"), "7447"),
        (Mesh::new().connect("tcp/127.0.0.1:1"), "tcp/127.0.0.1:1"),
        (Mesh::new().listen("0.0.0.0:0"), "0.0.0.0:0"),
        (Mesh::new().allow("desk"), "tls"),
        (Mesh::new().lease(Duration::from_millis(1)), "lease"),
    ] {
        let what = refused(mesh);
        assert!(what.contains(word), "{what}");
    }
    let named = PeerSystem::open_with("kitchen", SystemOptions::new().mesh(Mesh::new().node("a/b")));
    assert!(matches!(named, Err(Error::InvalidName { .. })), "{named:?}");
}

#[test]
fn a_system_opens_though_nobody_is_there_to_connect_to() {
    let alone = at_once(|| open("kitchen", Mesh::new().node("desk").connect(address())));
    alone.spawn("ada").unwrap().share("soup", "tomato").unwrap();
    let bob = alone.spawn("bob").unwrap();
    // Among themselves all is as without a mesh.
    assert_eq!(bob.request("ada", "soup", NOW).unwrap().bytes(), b"tomato");
    assert_eq!(alone.peers().unwrap(), ["ada", "bob"]);
    assert_eq!(alone.wait_for("@laptop", NOW), Err(Error::TimedOut));
    at_once(|| alone.shutdown(LONG)).unwrap();
}

#[test]
fn a_system_that_could_not_join_leaves_its_name_and_addresses_free() {
    let (free, taken) = (address(), address());
    let listener = std::net::TcpListener::bind(&*taken).unwrap();
    refused(Mesh::new().node("desk").listen(&*free).listen(&*taken));
    drop(listener);
    open("kitchen", Mesh::new().node("desk").listen(&*free).listen(&*taken));
}

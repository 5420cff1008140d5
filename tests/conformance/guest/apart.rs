//! Several systems in one process do not see one another.

use crate::support::{NOW, ada_and_bob, no_such_resource};

#[test]
fn two_systems_do_not_see_one_another() {
    let (_here, ada, _) = ada_and_bob();
    let (_there, other_ada, other_bob) = ada_and_bob();
    ada.share("soup", "tomato").unwrap();
    assert_eq!(other_bob.request("ada", "soup", NOW).unwrap_err(), no_such_resource("soup", "ada"));
    assert_eq!(other_ada.share("soup", "leek").unwrap().version(), 1);
}

//! Hosts of their own, by network namespaces that a test makes and takes away again: a link that is cut, slow or lossy. Where the
//! machine does not allow them the tests are left out, and say so.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::content::{digest, noise};
use crate::nodes::until;
use crate::process::{Process, name};
use crate::support::LONG;
use crate::tools::{are_there, leave_out, run};

const EVERYWHERE: &str = "everywhere=on";
const LEASE: Duration = Duration::from_secs(2);
/// Longer than any transfer here takes.
const AMPLE: Duration = Duration::from_secs(40);

/// Two hosts with one cable.
struct Hosts {
    names: [String; 2],
}

impl Hosts {
    /// Nothing where the machine does not let us.
    fn new(what: &str) -> Option<Hosts> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if !are_there(&["ip", "tc"], what) {
            return None;
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let names = ["a", "b"].map(|end| format!("potluck{}{end}{number}", std::process::id()));
        // From here on they are taken away again.
        let hosts = Hosts { names };
        let [a, b] = &hosts.names;
        for host in [a, b] {
            let made = Command::new("ip").args(["netns", "add", host]).output().unwrap();
            if !made.status.success() {
                leave_out("no right to make network namespaces", what);
                return None;
            }
        }
        let cable = format!("-n {a} link add eth0 type veth peer name eth0 netns {b}");
        if !Command::new("ip").args(cable.split(' ')).output().unwrap().status.success() {
            leave_out("no veth", what);
            return None;
        }
        for (host, number) in [(a, 1), (b, 2)] {
            hosts.ip(&format!("-n {host} addr add 10.77.0.{number}/24 dev eth0"));
            hosts.ip(&format!("-n {host} link set lo up"));
            hosts.ip(&format!("-n {host} link set eth0 up"));
        }
        Some(hosts)
    }

    fn ip(&self, arguments: &str) {
        run(Command::new("ip").args(arguments.split(' ')));
    }

    /// What the traffic of both ends goes through; false where this kernel has no such thing.
    fn shape(&self, discipline: &str) -> bool {
        self.names.iter().all(|host| {
            let arguments = format!("-n {host} qdisc replace dev eth0 root {discipline}");
            Command::new("tc").args(arguments.split(' ')).output().unwrap().status.success()
        })
    }

    /// Makes the cable slow in both directions, with a queue of so long; false, and said, where this kernel has no such thing.
    fn is_made_slow(&self, rate: &str, queue: &str, what: &str) -> bool {
        let is_slow = self.shape(&format!("tbf rate {rate} burst 32kb latency {queue}"));
        if !is_slow {
            leave_out("no tbf", what);
        }
        is_slow
    }

    /// Takes the slowness away again.
    fn make_fast(&self) {
        for host in &self.names {
            run(Command::new("tc").args(["-n", host, "qdisc", "del", "dev", "eth0", "root"]));
        }
    }

    fn cable(&self, state: &str) {
        self.ip(&format!("-n {} link set eth0 {state}", self.names[0]));
    }

    fn process(&self, host: usize, node: &str, port: u16) -> Process {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.names[host]]).arg(std::env::current_exe().unwrap());
        Process::start_by(command, node, &format!("10.77.0.{}:{port}", host + 1))
    }

    /// A node on each host, with an ada and a bob, which see each other.
    fn nodes(&self) -> [Process; 2] {
        self.nodes_that_are(EVERYWHERE)
    }

    /// The same, with options for the mesh.
    fn nodes_that_are(&self, options: &str) -> [Process; 2] {
        let [desk, laptop] = [self.process(0, "desk", 7447), self.process(1, "laptop", 7447)];
        desk.join(&[], options);
        laptop.join(&[&desk.address], options);
        desk.done("spawn-cook ada");
        laptop.done("spawn bob");
        laptop.done("wait_for ada@desk 10000");
        desk.done("wait_for bob@laptop 10000");
        [desk, laptop]
    }

    /// One more node, with a kim who sees ada.
    fn node_with_kim(&self, (host, node, port): (usize, &str, u16), desk: &Process, options: &str) -> Process {
        let process = self.process(host, node, port);
        process.join(&[&desk.address], options);
        process.done("spawn kim");
        process.done("wait_for ada@desk 10000");
        process
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for host in &self.names {
            // One that was never made cannot be taken away.
            let _ = Command::new("ip").args(["netns", "del", host]).output();
        }
    }
}

#[test]
fn a_link_that_is_cut_is_noticed_after_the_lease_on_both_sides_and_one_that_is_mended_is_used_again() {
    let Some(hosts) = Hosts::new("a link that is cut") else { return };
    let [desk, laptop] = hosts.nodes();
    laptop.done("spawn eve");
    desk.done("share ada soup 100 1");
    desk.done("share ada dish 100 2");
    laptop.done("share bob dish 100 3");
    desk.done("spawn inbox");
    laptop.done("wait_for inbox@desk 10000");
    let asking = laptop.order("ask bob inbox@desk taste soup 20000");
    until("it is asked", || desk.done("nodes").contains("served: 1").then_some(()));
    hosts.cable("down");
    let begun = Instant::now();
    let error = laptop.call("exchange eve ada@desk dish 500").unwrap_err();
    assert_eq!(name(&error), "NoSuchResource", "its own is looked at first: {error}");
    let error = laptop.call("exchange bob ada@desk dish 500").unwrap_err();
    assert_eq!(name(&error), "OutcomeUnknown", "{error}");
    let error = laptop.call("request bob ada@desk soup 500").unwrap_err();
    assert!(["TimedOut", "Unreachable"].contains(&name(&error)), "{error}");
    assert_eq!(name(&asking.answer().unwrap_err()), "PeerClosed");
    let took = begun.elapsed();
    assert!(took < 2 * LEASE, "{took:?}");
    until("the desk is gone", || (laptop.done("peers") == "bob eve").then_some(()));
    until("the laptop is gone", || (desk.done("peers") == "ada inbox").then_some(()));
    assert_eq!(name(&laptop.call("request bob ada@desk soup 500").unwrap_err()), "NoSuchPeer");
    // Among themselves all goes on.
    laptop.done("request eve bob dish 500");
    hosts.cable("up");
    laptop.done("wait_for ada@desk 10000");
    desk.done("wait_for bob@laptop 10000");
    laptop.done("request bob ada soup 5000");
    let [there, here] = [desk.done("get ada dish"), laptop.done("get bob dish")];
    println!("{there}, {here}");
    laptop.done("exchange bob ada dish 5000");
    assert_eq!(laptop.done("get bob dish"), there.replace("ada ", "ada@desk ").replace("bob@laptop ", "bob "));
}

#[test]
fn an_exchange_whose_answer_a_cut_link_has_lost_is_still_taken_in_when_it_is_mended() {
    let Some(hosts) = Hosts::new("an answer that a cut link loses") else { return };
    let [desk, laptop] = hosts.nodes();
    desk.done("spawn-slow kim 700");
    laptop.done("wait_for kim@desk 10000");
    for (round, len) in [100, 1_000_000].into_iter().enumerate() {
        desk.done(&format!("share kim dish {len} {round}"));
        laptop.done(&format!("share bob dish {len} {}", 10 + round));
        let [there, here] = [desk.done("get kim dish"), laptop.done("get bob dish")];
        let swap = laptop.order("exchange bob kim@desk dish 20000");
        until("it is asked", || desk.call("get kim asked").ok());
        hosts.cable("down");
        assert_eq!(name(&swap.answer().unwrap_err()), "PeerClosed");
        assert_eq!(desk.done("get kim dish"), here.replace("bob ", "bob@laptop "), "it was done there");
        assert_eq!(laptop.done("get bob dish"), here);
        hosts.cable("up");
        let came = there.replace("kim ", "kim@desk ");
        until("what came back is here", || (laptop.done("get bob dish") == came).then_some(()));
        desk.done("unshare kim asked");
        laptop.done("wait_for kim@desk 10000");
    }
}

#[test]
fn an_exchange_that_was_given_up_is_taken_in_though_its_way_back_is_cut_once_more() {
    const WHAT: &str = "a way back that is cut";
    let Some(hosts) = Hosts::new(WHAT) else { return };
    let [desk, laptop] = hosts.nodes();
    desk.done("spawn kim");
    laptop.done("wait_for kim@desk 10000");
    desk.done("share kim dish 6000000 1");
    laptop.done("share bob dish 100 2");
    let [there, here] = [desk.done("get kim dish"), laptop.done("get bob dish")];
    // It takes 8 s.
    if !hosts.is_made_slow("6mbit", "200ms", WHAT) {
        return;
    }
    assert_eq!(name(&laptop.call("exchange bob kim@desk dish 1500").unwrap_err()), "OutcomeUnknown");
    assert_eq!(desk.done("get kim dish"), here.replace("bob ", "bob@laptop "), "it was done there");
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        assert_eq!(laptop.done("get bob dish"), here, "it comes too early");
    }
    hosts.cable("down");
    until("the desk is gone", || (laptop.done("peers") == "bob").then_some(()));
    hosts.make_fast();
    hosts.cable("up");
    laptop.done("wait_for kim@desk 20000");
    let came = there.replace("kim ", "kim@desk ");
    until("what came back is here", || (laptop.done("get bob dish") == came).then_some(()));
}

#[test]
fn a_link_that_is_cut_for_less_than_the_lease_is_only_slow() {
    let Some(hosts) = Hosts::new("a link that is cut for a moment") else { return };
    let [desk, laptop] = hosts.nodes();
    desk.done("share ada soup 100 1");
    hosts.cable("down");
    let request = laptop.order("request bob ada@desk soup 10000");
    let tell = laptop.order("tell bob ada@desk note soup 10000");
    std::thread::park_timeout(Duration::from_millis(500));
    assert!(request.is_waiting() && tell.is_waiting());
    hosts.cable("up");
    request.answer().unwrap();
    tell.answer().unwrap();
}

#[test]
fn over_a_slow_link_calls_end_by_their_deadlines_and_large_ones_arrive_in_time() {
    let Some(hosts) = Hosts::new("a slow link") else { return };
    let [desk, laptop] = hosts.nodes();
    desk.done("share ada small 100 1");
    desk.done("share ada large 6000000 2");
    if hosts.shape("netem delay 50ms rate 20mbit") {
        let begun = Instant::now();
        laptop.done("request bob ada small 5000");
        assert!(begun.elapsed() > Duration::from_millis(100), "{:?}", begun.elapsed());
    } else if !hosts.shape("tbf rate 20mbit burst 32kb latency 200ms") {
        return leave_out("neither netem nor tbf", "a slow link");
    }
    // It takes more than 2 s.
    let begun = Instant::now();
    let error = laptop.call("request bob ada large 500").unwrap_err();
    assert_eq!(name(&error), "TimedOut", "{error}");
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
    let large = laptop.order("request bob ada large 20000");
    let mut longest = Duration::ZERO;
    let mut count = 0;
    laptop.done("spawn eve");
    while large.is_waiting() {
        let begun = Instant::now();
        laptop.done("request eve ada small 10000");
        longest = longest.max(begun.elapsed());
        count += 1;
    }
    println!("{count} small ones beside, the longest {longest:?}");
    let got = large.answer_within(3 * LONG).unwrap();
    assert!(got.ends_with(&digest(&noise(2, 6_000_000))), "{got}");
    assert!(count > 0 && longest < Duration::from_secs(3), "{longest:?}");
    // A link that is full is no link that is cut.
    assert_eq!(laptop.done("peers"), "bob eve ada@desk");
}

#[test]
fn over_a_very_slow_link_a_large_one_arrives_all_the_same() {
    const WHAT: &str = "a very slow link";
    const SIZE: usize = 9_000_000;
    let Some(hosts) = Hosts::new(WHAT) else { return };
    let [desk, laptop] = hosts.nodes();
    desk.done(&format!("share ada large {SIZE} 2"));
    if !hosts.is_made_slow("3mbit", "200ms", WHAT) {
        return;
    }
    let begun = Instant::now();
    let got = laptop.order("request bob ada large 60000").answer_within(2 * AMPLE).unwrap();
    assert!(got.ends_with(&digest(&noise(2, SIZE))), "{got}");
    assert!(begun.elapsed() > Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(laptop.done("peers"), "bob ada@desk", "it was no link that is cut");
    // What nobody wants any more does not keep the link busy.
    assert_eq!(name(&laptop.call("request bob ada large 3000").unwrap_err()), "TimedOut");
    let begun = Instant::now();
    desk.done("share ada middle 500000 3");
    laptop.order("request bob ada middle 60000").answer_within(2 * AMPLE).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[test]
fn over_a_slow_link_several_nodes_get_large_ones_at_once() {
    const WHAT: &str = "several over a slow link";
    // Of three connections that share so slow a link one may be silent for longer than the usual lease.
    const PATIENT: &str = "everywhere=on lease=15000";
    const SIZE: usize = 6_000_000;
    let Some(hosts) = Hosts::new(WHAT) else { return };
    let [desk, laptop] = hosts.nodes_that_are(PATIENT);
    desk.done(&format!("share ada large {SIZE} 2"));
    let others = [(1, "phone", 7448), (1, "tablet", 7449)].map(|place| hosts.node_with_kim(place, &desk, PATIENT));
    if !hosts.is_made_slow("6mbit", "500ms", WHAT) {
        return;
    }
    let orders = [
        laptop.order("request bob ada@desk large 60000"),
        others[0].order("request kim ada@desk large 60000"),
        others[1].order("request kim ada@desk large 60000"),
    ];
    for order in orders {
        let got = order.answer_within(2 * AMPLE).unwrap();
        assert!(got.ends_with(&digest(&noise(2, SIZE))), "{got}");
    }
}

#[test]
fn a_node_that_is_slow_to_take_a_large_one_holds_up_no_other() {
    const WHAT: &str = "one slow node beside another";
    const SIZE: usize = 9_000_000;
    let Some(hosts) = Hosts::new(WHAT) else { return };
    let [desk, laptop] = hosts.nodes();
    desk.done(&format!("share ada large {SIZE} 2"));
    let tablet = hosts.node_with_kim((0, "tablet", 7448), &desk, EVERYWHERE);
    if !hosts.is_made_slow("3mbit", "200ms", WHAT) {
        return;
    }
    let slow = laptop.order("request bob ada@desk large 60000");
    until("it is under way", || desk.done("nodes").contains("bytes_out: 4").then_some(()));
    for _ in 0..3 {
        tablet.order("request kim ada@desk large 60000").answer_within(AMPLE).unwrap();
        assert!(slow.is_waiting());
    }
    slow.answer_within(2 * AMPLE).unwrap();
}

#[test]
fn a_node_that_is_slow_to_take_its_answers_holds_up_no_other() {
    const WHAT: &str = "the answers of one slow node beside those of another";
    let Some(hosts) = Hosts::new(WHAT) else { return };
    let [desk, laptop] = hosts.nodes();
    desk.done("share ada middle 250000 2");
    desk.done("share ada small 100 3");
    let tablet = hosts.node_with_kim((0, "tablet", 7448), &desk, EVERYWHERE);
    if !hosts.is_made_slow("3mbit", "200ms", WHAT) {
        return;
    }
    // Each takes two thirds of a second on its way.
    let slow: Vec<_> = (0..12).map(|_| laptop.order("request bob ada@desk middle 60000")).collect();
    until("the first has come", || slow.iter().any(|order| !order.is_waiting()).then_some(()));
    let mut count = 0;
    while slow.iter().any(|order| order.is_waiting()) {
        let begun = Instant::now();
        tablet.done("request kim ada@desk small 10000");
        assert!(begun.elapsed() < LEASE, "{:?}", begun.elapsed());
        count += 1;
    }
    assert!(count > 10, "only {count} meanwhile");
    for order in slow {
        order.answer().unwrap();
    }
}

#[test]
fn over_a_lossy_link_everything_arrives_once() {
    let Some(hosts) = Hosts::new("a lossy link") else { return };
    let [desk, laptop] = hosts.nodes();
    desk.done("share ada large 3000000 2");
    if !hosts.shape("netem loss 3%") {
        return leave_out("no netem", "a lossy link");
    }
    desk.done("spawn inbox");
    laptop.done("wait_for inbox@desk 20000");
    for number in 0..50 {
        laptop.done(&format!("tell bob inbox@desk {number} soup 20000"));
    }
    for number in 0..50 {
        let said = desk.done("receive inbox 1000");
        assert_eq!(said.split(' ').nth(1), Some(&*number.to_string()));
    }
    let got = laptop.order("request bob ada large 20000").answer_within(3 * LONG).unwrap();
    assert!(got.ends_with(&digest(&noise(2, 3_000_000))), "{got}");
    laptop.done("ask bob ada@desk taste soup 20000");
    assert_eq!(name(&desk.call("receive inbox 0").unwrap_err()), "TimedOut", "nothing came twice");
}

//! The crate itself under a model checker: whole systems under shuttle (`systems`), the smallest parts under loom (`parts`, `ids`).
//!
//! `make model` runs all of it. Nothing here is compiled but under `--cfg shuttle` or `--cfg loom`.
//!
//! shuttle picks schedules at random, uniformly and by priorities (PCT), and is sequentially consistent: it finds what is wrong with
//! the steps, and a lost wake-up as a deadlock. loom tries all schedules and all that the memory model allows: it finds what is
//! wrong with the fences.

#[cfg(loom)]
mod ids;
#[cfg(loom)]
mod parts;
#[cfg(shuttle)]
mod systems;

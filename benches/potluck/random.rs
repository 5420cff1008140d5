//! Numbers that no cache foresees, the same in each run: xorshift.

/// Where a run of them stands.
pub(crate) struct Random {
    state: u64,
    /// How many there were.
    pub(crate) drawn: usize,
}

impl Random {
    pub(crate) fn new(seed: usize) -> Random {
        Random { state: 0x9E37_79B9_7F4A_7C15 * (seed as u64 + 1), drawn: 0 }
    }

    pub(crate) fn below(&mut self, below: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.drawn += 1;
        (self.state >> 33) as usize % below
    }
}

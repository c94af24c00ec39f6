//! What happened, as a number to compare and, on demand, as lines to read.
use taskrun::core::task::ProcessId;

#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    loud: bool,
    hash: u64,
    pub(crate) notes: u64,
}

impl Trace {
    /// A trace that prints its lines, or only counts them.
    pub(crate) fn new(loud: bool) -> Self {
        Self { loud, ..Self::default() }
    }

    pub(crate) fn note(&mut self, now: i64, pid: ProcessId, what: &str, about: i64, more: i64) {
        self.notes += 1;
        let numbers = [now, pid.0, about, more];
        let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).chain(what.bytes());
        // FNV-1a.
        self.hash = bytes.fold(self.hash ^ 0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        if self.loud {
            eprintln!("{:>10}.{:03} process {pid}: {what} {about} {more}", now / 1000, now % 1000);
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }
}

//! Ring buffers, by which programs hand records over.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use libbpf_rs::{MapCore, RingBuffer, RingBufferBuilder};

/// One of them. It may go to another thread.
pub(in crate::bpf) struct Ring<T> {
    buffer: RingBuffer<'static>,
    taken: Arc<Mutex<Taken<T>>>,
    of: &'static str,
    /// How many records are taken at once, so that a flood cannot keep the reader from other work.
    at_once: usize,
}

struct Taken<T> {
    records: Vec<T>,
    malformed: u64,
}

fn locked<T>(taken: &Mutex<Taken<T>>) -> MutexGuard<'_, Taken<T>> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Send + 'static> Ring<T> {
    /// Maps the ring `of` something; `read` says what a record is, if it is one.
    pub fn map(
        map: &dyn MapCore,
        of: &'static str,
        at_once: usize,
        read: impl Fn(&[u8]) -> Option<T> + 'static,
    ) -> Result<Self> {
        let failed = || format!("cannot map the ring buffer of {of}");
        let taken = Arc::new(Mutex::new(Taken {
            records: Vec::new(),
            malformed: 0,
        }));
        let sink = Arc::clone(&taken);
        let mut builder = RingBufferBuilder::new();
        builder
            .add(map, move |bytes| {
                let mut taken = locked(&sink);
                match read(bytes) {
                    Some(record) => taken.records.push(record),
                    None => taken.malformed += 1,
                }
                0
            })
            .with_context(failed)?;
        Ok(Self {
            buffer: builder.build().with_context(failed)?,
            taken,
            of,
            at_once,
        })
    }

    /// Takes the records that have come since the last call, oldest first, or the first of them.
    pub fn take(&mut self) -> Result<Vec<T>> {
        let result = self.buffer.consume_raw_n(self.at_once);
        if result < 0 {
            return Err(io::Error::from_raw_os_error(-result))
                .with_context(|| format!("cannot read the ring buffer of {}", self.of));
        }
        Ok(std::mem::take(&mut locked(&self.taken).records))
    }

    /// Records that were none.
    pub fn malformed(&self) -> u64 {
        locked(&self.taken).malformed
    }
}

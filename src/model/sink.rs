//! Whom a run feeds.

use std::io;

use super::facts::Facts;
use super::record::Event;
use super::tick::{Ended, Tick};

/// Takes what a run finds out, to show it, to send it elsewhere, or to watch it.
///
/// Only what shows it has errors: they end the run, in order, and all others go on to its end.
pub trait Sink {
    /// A packet of a connection.
    fn event(&mut self, event: &Event, facts: &dyn Facts) -> io::Result<()> {
        let _ = (event, facts);
        Ok(())
    }

    /// A connection has ended, with its last counts. Comes before the tick, after what that connection did, and before what others
    /// of the same ends did after it.
    fn ended(&mut self, ended: &Ended, facts: &dyn Facts) -> io::Result<()> {
        let _ = (ended, facts);
        Ok(())
    }

    /// All that one tick has.
    fn tick(&mut self, tick: &Tick<'_>) -> io::Result<()> {
        let _ = tick;
        Ok(())
    }

    /// The run is over, and with it the connections that are in the table still, unless their tracking goes on in the kernel.
    fn finish(&mut self, tick: &Tick<'_>, goes_on: bool) -> io::Result<()> {
        let _ = (tick, goes_on);
        Ok(())
    }

    /// How much is still to be sent once the run is over; `None` when all is.
    fn unsent(&self) -> Option<usize> {
        None
    }

    /// Nothing is waited for any more: what is still to be sent is counted as lost. The last call.
    fn give_up(&mut self) {}

    /// Lines for standard error since the last call.
    fn take_messages(&mut self) -> Vec<String> {
        Vec::new()
    }
}

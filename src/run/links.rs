//! Interfaces that come, go and get other names while a run tracks.
//!
//! A thread without rights waits for what the kernel says of interfaces, and calls the loop. The loop attaches and detaches: that takes
//! no right beside those that it has to run programs and to take filters off. A burst is taken in parts, between which the loop does
//! its other work.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::errno::Errno;

use super::Run;
use super::attach::{attached_names, say_new};
use super::fence::{self, Open, give_up_all_rights};
use super::knowledge::Interfaces;
use super::signals::Signal;
use crate::bpf::{self, Attachment, Tracker};
use crate::console::say;
use crate::interface::{self, Change, Changes, Interface, Selection};
use crate::model::Ifindex;
use crate::model::text::Visible;
use crate::plan::Plan;

/// How long the loop attaches at a time, while others wait.
const AT_ONCE: Duration = Duration::from_millis(100);
/// Of more that happens between two looks, only what has become of it is looked at.
const MOST: usize = 8192;

/// Which interfaces are meant, and what happens to them.
pub(super) struct Links {
    pub selection: Selection,
    /// Those that there were at the start.
    pub first: Vec<Interface>,
    /// Of each name that is meant, the interface that had it last.
    named: Vec<(String, Ifindex)>,
    changes: Option<Changes>,
    heard: Arc<Mutex<Heard>>,
    /// What was heard and is to be done.
    waiting: VecDeque<Change>,
    /// Interfaces to which nothing can be attached: a message tells it once.
    refused: HashSet<Ifindex>,
}

/// What the thread has for the loop.
#[derive(Debug, Default)]
struct Heard {
    changes: Vec<Change>,
    /// Whether some of it is not there.
    is_incomplete: bool,
}

impl Heard {
    fn is_empty(&self) -> bool {
        self.changes.is_empty() && !self.is_incomplete
    }

    /// Takes what has happened; whether the loop is to be called for it.
    fn add(&mut self, changes: Option<Vec<Change>>) -> bool {
        let was_empty = self.is_empty();
        match changes {
            Some(changes) if self.changes.len() + changes.len() <= MOST => {
                self.changes.extend(changes);
            }
            _ => {
                self.changes.clear();
                self.is_incomplete = true;
            }
        }
        was_empty && !self.is_empty()
    }
}

impl Links {
    /// The interfaces that are meant. What happens to any from now on is heard of.
    pub fn find(names: &[String]) -> Result<Self> {
        let changes = Changes::follow()?;
        let (selection, first) = Selection::of(names)?;
        let held = match &selection {
            Selection::Any => Vec::new(),
            Selection::Named(names) => {
                let indexes = first.iter().map(|interface| interface.index);
                names.iter().cloned().zip(indexes).collect()
            }
        };
        Ok(Self {
            selection,
            first,
            named: held,
            changes: Some(changes),
            heard: Arc::default(),
            waiting: VecDeque::new(),
            refused: HashSet::new(),
        })
    }

    /// None, ever.
    pub fn none() -> Self {
        Self {
            selection: Selection::Named(Vec::new()),
            first: Vec::new(),
            named: Vec::new(),
            changes: None,
            heard: Arc::default(),
            waiting: VecDeque::new(),
            refused: HashSet::new(),
        }
    }

    /// Starts the thread: to be called when the process has given up its rights. It has a fence of its own, with nothing open.
    pub fn hear(&mut self, caller: &Sender<Signal>) -> Result<()> {
        let Some(changes) = self.changes.take() else {
            return Ok(());
        };
        let (heard, caller) = (Arc::clone(&self.heard), caller.clone());
        thread::Builder::new()
            .name("interfaces".to_owned())
            .spawn(move || {
                let is_fenced =
                    give_up_all_rights().and_then(|()| fence::put_up(Open::default(), false));
                let ended = is_fenced.and_then(|_| listen(&changes, &heard, &caller));
                if let Err(error) = ended {
                    say(format_args!(
                        "udptrack cannot see when interfaces come and go: {error:#}"
                    ));
                }
            })
            .context("cannot start a thread for interfaces that come and go")?;
        Ok(())
    }

    /// Whether something is left to be done.
    pub fn are_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes what was heard. Where that is not all, what there is now says what has become of it.
    fn take_heard(&mut self, tracked: &[Attachment]) -> Result<()> {
        let heard = std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        if heard.is_incomplete {
            let now = interface::list()?;
            let is_gone = |index: &Ifindex| !now.iter().any(|there| there.index == *index);
            let tracked = tracked.iter().map(|attachment| attachment.interface.index);
            self.waiting = tracked.filter(is_gone).map(Change::Gone).collect();
            self.waiting.extend(now.into_iter().map(Change::Here));
        } else {
            self.waiting.extend(heard.changes);
        }
        // What has gone again cannot be attached to.
        let mut gone = HashSet::new();
        let mut changes: Vec<Change> = std::mem::take(&mut self.waiting).into();
        changes.reverse();
        changes.retain(|change| match change {
            Change::Gone(index) => gone.insert(*index),
            Change::Here(interface) => !gone.contains(&interface.index),
        });
        changes.reverse();
        self.waiting = changes.into();
        Ok(())
    }

    /// Whether an interface that has come is meant.
    fn mean(&self, interface: &Interface, tracker: &Tracker) -> bool {
        !self.refused.contains(&interface.index)
            && (self.selection == Selection::Any || self.before(interface, tracker).is_some())
    }

    /// The interface in whose place one of this name comes, if that is gone.
    fn before(&self, interface: &Interface, tracker: &Tracker) -> Option<Ifindex> {
        let mut named = self.named.iter();
        let free = named.find(|(name, last)| interface.is_named(name) && !tracker.has(*last));
        free.map(|(_, last)| *last)
    }

    fn has_come(&mut self, interface: Ifindex, before: Option<Ifindex>) {
        let mut named = self.named.iter_mut();
        if let Some((_, last)) = named.find(|(_, last)| Some(*last) == before) {
            *last = interface;
        }
    }
}

/// Until the loop is over, or the kernel says nothing more.
fn listen(changes: &Changes, heard: &Mutex<Heard>, caller: &Sender<Signal>) -> Result<()> {
    loop {
        let news = changes.wait()?;
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.add(news) && caller.send(Signal::Links).is_err() {
            return Ok(());
        }
    }
}

/// Attaches to an interface that has come.
pub(super) fn attach_later(
    plan: &Plan,
    tracker: &mut Tracker,
    interface: &Interface,
    before: Option<Ifindex>,
) -> Result<Attachment> {
    tracker.admit(interface, before)?;
    bpf::attach(tracker, interface, plan.request).inspect_err(|_| tracker.dismiss(interface.index))
}

impl Run {
    /// Attaches to what has come, takes off what is gone, and follows names; a part of it, if it is much.
    pub(super) fn follow_links(&mut self) -> Result<()> {
        self.links.take_heard(&self.attachments)?;
        let until = Instant::now() + AT_ONCE;
        let (mut gone, mut has_changed) = (Vec::new(), false);
        while Instant::now() < until
            && let Some(change) = self.links.waiting.pop_front()
        {
            has_changed |= match change {
                Change::Gone(index) => {
                    self.links.refused.remove(&index);
                    let found = self.position(index);
                    gone.extend(found.map(|at| self.attachments.remove(at)));
                    found.is_some()
                }
                Change::Here(interface) => {
                    if let Some(at) = self.position(interface.index) {
                        self.rename(at, interface)
                    } else {
                        self.take_off(std::mem::take(&mut gone))?;
                        self.attach_if_meant(&interface)
                    }
                }
            };
        }
        self.take_off(gone)?;
        if has_changed {
            self.tracker.note_hooks(&self.attachments)?;
            self.knowledge.interfaces = Interfaces::of(self.tracker.hooks());
            self.sinks.display.change_interfaces(&self.attachments);
            self.say_status();
        }
        Ok(())
    }

    fn position(&self, index: Ifindex) -> Option<usize> {
        let mut attachments = self.attachments.iter();
        attachments.position(|attachment| attachment.interface.index == index)
    }

    /// Whether its name is another one than before.
    fn rename(&mut self, at: usize, interface: Interface) -> bool {
        let known = &mut self.attachments[at].interface;
        let is_renamed = known.name != interface.name;
        if is_renamed {
            say(format_args!(
                "{} is now called {}",
                Visible(&known.name),
                Visible(&interface.name)
            ));
        }
        *known = Interface {
            addresses: std::mem::take(&mut known.addresses),
            ..interface
        };
        is_renamed
    }

    /// Whether something new is tracked.
    fn attach_if_meant(&mut self, interface: &Interface) -> bool {
        if !self.links.mean(interface, &self.tracker) {
            return false;
        }
        let before = self.links.before(interface, &self.tracker);
        match self.attach_one(interface, before) {
            Ok(attachment) => {
                self.links.has_come(interface.index, before);
                say_new(&self.plan, &attachment);
                self.attachments.push(attachment);
                true
            }
            // It has gone again, or that will be heard of.
            Err(error) if is_no_device(&error) => false,
            Err(error) => {
                self.links.refused.insert(interface.index);
                say(format_args!("{error:#}"));
                false
            }
        }
    }

    fn attach_one(&mut self, interface: &Interface, before: Option<Ifindex>) -> Result<Attachment> {
        let attachment = attach_later(&self.plan, &mut self.tracker, interface, before)?;
        if let Some(claim) = &self.claim
            && let Err(error) = self.tracker.pin_hooks(claim, &attachment)
        {
            bpf::detach(vec![attachment])?;
            self.tracker.dismiss(interface.index);
            return Err(error);
        }
        Ok(attachment)
    }

    /// Lets go of what is gone, and says so.
    fn take_off(&mut self, gone: Vec<Attachment>) -> Result<()> {
        if gone.is_empty() {
            return Ok(());
        }
        let interfaces: Vec<Interface> = gone.iter().map(|one| one.interface.clone()).collect();
        bpf::detach(gone)?;
        for interface in interfaces {
            self.tracker.dismiss(interface.index);
            if let Some(claim) = &self.claim {
                claim.unpin_hooks(interface.index);
            }
            let name = Visible(&interface.name);
            if self.links.selection != Selection::Any {
                say(format_args!("{name} is gone; {}", rest(&self.attachments)));
            } else if !self.plan.quiet {
                say(format_args!("{name} is gone"));
            }
        }
        Ok(())
    }
}

fn rest(attachments: &[Attachment]) -> String {
    if attachments.is_empty() {
        return "waiting for it to come back".to_owned();
    }
    format!("still tracking {}", attached_names(attachments))
}

fn is_no_device(error: &anyhow::Error) -> bool {
    let cause = error.root_cause().downcast_ref::<io::Error>();
    cause.is_some_and(|error| error.raw_os_error() == Some(Errno::ENODEV as i32))
}

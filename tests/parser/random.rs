//! Random frames through the programs and through the reference parser.
//!
//! A test run costs about a microsecond here, XDP's as much as TC's: the kernel patches its XDP dispatcher for repeated
//! runs only (up to Linux 5.16: for all). So both get 100,000 frames, and after each the books are read.

use std::time::{Duration, Instant};

use crate::common::random::{FrameGenerator, Rng};
use crate::model::Model;
use crate::rig::{EGRESS, ETHERNET_BYTES, INGRESS, IP_EGRESS, IP_INGRESS, Rig, XDP};
use udptrack::bpf::Entry;

const FRAMES: u32 = 100_000;
/// So often the table is compared, too.
const PART: u32 = 20_000;

/// The kernel remembers the heads of fragments for 30 s and the model for ever, so on a slow machine both begin anew in between.
const ROUND: Duration = Duration::from_secs(15);

fn run(entry: impl Fn(&mut Rng) -> Entry, frames: u32, cut: usize) {
    let mut generator = FrameGenerator::new(Rng::from_environment());
    let mut choice = Rng::new(1);
    let (mut ran, mut number) = (0, 0);
    while number < frames {
        let mut rig = Rig::new(1 << 18);
        let mut model = Model::default();
        let began = Instant::now();
        while number < frames && began.elapsed() < ROUND {
            let frame = generator.frame();
            if let Some(frame) = frame.get(cut..) {
                model.check(&mut rig, entry(&mut choice), frame);
            }
            number += 1;
            if number % PART == 0 {
                model.assert_table(&rig);
            }
        }
        model.assert_table(&rig);
        let seen = [INGRESS, EGRESS].map(|entry| rig.books(entry).seen.packets);
        println!("{seen:?} frames ran");
        ran += seen.iter().sum::<u64>();
    }
    assert!(ran > u64::from(frames) / 2);
}

#[test]
#[ignore = "root"]
fn frames_through_xdp() {
    run(|_| XDP, FRAMES, 0);
}

#[test]
#[ignore = "root"]
fn frames_through_tc() {
    run(|choice| choice.pick(&[INGRESS, EGRESS]), FRAMES, 0);
}

#[test]
#[ignore = "root"]
fn packets_without_ethernet_header() {
    let entry = |choice: &mut Rng| choice.pick(&[IP_INGRESS, IP_EGRESS]);
    run(entry, FRAMES / 2, ETHERNET_BYTES);
}

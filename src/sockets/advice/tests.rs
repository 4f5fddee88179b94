use super::super::fixture::{SECOND, holding};
use super::super::{Look, Reading, Watch};
use super::*;

const LIMITS: Limits = Limits {
    rmem_default: Some(212_992),
    rmem_max: Some(212_992),
    udp_mem: Some(1_151_604),
};

/// A socket that has dropped a burst, and holds this number of datagrams.
fn dropped(burst: u64, datagrams: u32) -> State {
    let mut watch = Watch::default();
    watch.look(&Look {
        now_ns: SECOND,
        readings: vec![holding(datagrams, 1)],
        before: None,
        after: None,
    });
    State {
        drops_seen: burst,
        cause: Some(Cause::Buffer),
        burst,
        was_full: true,
        ..watch.snapshot()[0]
    }
}

fn chosen(asked: u32, state: State) -> State {
    State {
        reading: Reading {
            receive_buffer: 2 * asked,
            is_chosen: true,
            ..state.reading
        },
        ..state
    }
}

fn text(state: &State, limits: &Limits) -> String {
    Advice::of(state, limits).map_or_else(String::new, |advice| advice.text("statsd"))
}

#[test]
fn nothing_is_said_where_nothing_is_wrong() {
    let fine = State {
        drops_seen: 0,
        cause: None,
        ..dropped(0, 10)
    };
    assert_eq!(Advice::of(&fine, &LIMITS), None);
}

#[test]
fn a_program_that_asked_for_nothing_has_the_default() {
    // 212,992 + 600 * 768 = 673,792.
    assert_eq!(
        text(&dropped(600, 10), &LIMITS),
        "raise net.core.rmem_default (212,992) to 851,968 and restart statsd, or set SO_RCVBUF in it to 425,984 \
         (the kernel doubles it); raise net.core.rmem_max (212,992) to the same value"
    );
    let free = Limits {
        rmem_max: Some(4_194_304),
        ..LIMITS
    };
    assert_eq!(
        text(&dropped(600, 277), &free),
        "raise net.core.rmem_default (212,992) to at least 851,968 and restart statsd, or set SO_RCVBUF in it to \
         425,984 (the kernel doubles it)"
    );
    // 277 fit in again, 278 do not.
    let to = |burst| Advice::of(&dropped(burst, 10), &LIMITS).unwrap().limit();
    let raised = |to| Some((Limit::Default, Some(212_992), Some(to)));
    assert_eq!(
        [to(1), to(277), to(278)],
        [425_984, 425_984, 851_968].map(raised)
    );
}

#[test]
fn a_limit_that_was_raised_is_for_new_sockets() {
    let raised = Limits {
        rmem_default: Some(851_968),
        ..LIMITS
    };
    assert_eq!(
        text(&dropped(600, 10), &raised),
        "restart statsd: net.core.rmem_default is now 851,968, but its socket has less"
    );
}

#[test]
fn a_program_that_asked_has_what_it_asked_for_or_the_most_that_it_may() {
    assert_eq!(
        text(&chosen(212_992, dropped(600, 10)), &LIMITS),
        "raise net.core.rmem_max (212,992) to 851,968 and restart statsd: its SO_RCVBUF is above this limit"
    );
    // 8,192 + 6 * 768.
    assert_eq!(
        text(&chosen(4096, dropped(6, 2)), &LIMITS),
        "raise SO_RCVBUF in statsd (4,096) to 8,192"
    );
    assert_eq!(
        text(&chosen(106_496, dropped(600, 10)), &LIMITS),
        "raise SO_RCVBUF in statsd (106,496) to 425,984; raise net.core.rmem_max (212,992) to the same value"
    );
}

#[test]
fn a_larger_buffer_is_not_for_who_does_not_read() {
    let stands = State {
        stands_ns: 12 * SECOND,
        ..dropped(600, 277)
    };
    assert_eq!(
        text(&stands, &LIMITS),
        "statsd has read nothing for 12.0s: find out why it hangs. A larger buffer helps only for short pauses"
    );
    // Before anything was dropped, too; but not where little waits.
    let nothing_lost = State {
        drops_seen: 0,
        cause: None,
        ..stands
    };
    assert_eq!(text(&nothing_lost, &LIMITS), text(&stands, &LIMITS));
    let little = State {
        goes_on: false,
        ..nothing_lost
    };
    assert_eq!(Advice::of(&little, &LIMITS), None);
    let behind = State {
        behind_ns: 8 * SECOND,
        ..dropped(600, 277)
    };
    assert_eq!(
        text(&behind, &LIMITS),
        "statsd does not keep up: its buffer was more than half full at every look for 8.0s. A larger buffer only fills later: make it read faster, or with more sockets (SO_REUSEPORT)"
    );
    // No kernel allows such a size.
    let too_much = dropped(10_000_000, 10);
    assert!(matches!(
        Advice::of(&too_much, &LIMITS),
        Some(Advice::Behind { .. })
    ));
}

#[test]
fn what_has_nothing_to_do_with_the_buffer() {
    let because = |cause| {
        let state = State {
            cause: Some(cause),
            stands_ns: 12 * SECOND,
            ..dropped(600, 277)
        };
        text(&state, &LIMITS)
    };
    assert_eq!(
        because(Cause::Memory),
        "all UDP sockets together had no memory left: raise the third value of net.ipv4.udp_mem (1,151,604 pages)"
    );
    assert_eq!(
        because(Cause::Checksum),
        "wrong checksums: find out who sends them. A larger buffer does not help"
    );
    assert_eq!(
        because(Cause::Refused),
        "a filter of the socket or an IPsec policy refused them. A larger buffer does not help"
    );
}

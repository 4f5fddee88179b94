/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counts a parsed frame to its connection and in the books, for all hooks. */
#ifndef TRACK_H
#define TRACK_H

/* Only with PREEMPT_RT, another program on the same CPU may write at the same time. */
static __always_inline void add(struct udp_track_counts *sum, const struct udp_track_counts *wire, const bool usual)
{
	if (!usual && settings.realtime) {
		__sync_fetch_and_add(&sum->packets, wire->packets);
		__sync_fetch_and_add(&sum->bytes, wire->bytes);
		return;
	}
	sum->packets += wire->packets;
	sum->bytes += wire->bytes;
}

/* Counts a frame in the books: each frame comes here once, and counts in `seen`, and in `tracked` or in one reason. */
static __always_inline void book(struct udp_track_books *counters, const struct udp_track_counts *wire, __u32 outcome,
				 const bool usual)
{
	add(&counters->seen, wire, usual);
	if (outcome == TRACKED) {
		add(&counters->tracked, wire, usual);
		return;
	}
	barrier_var(outcome); /* or the bound is asked of a copy: "unbounded memory access" */
	if (outcome < UDP_TRACK_SKIPS)
		add(&counters->skipped[outcome], wire, usual);
}

/* Counts a frame that a capture should have had, if it did not reach user space. */
static __always_inline void lose_frame(struct udp_track_books *counters, int lost)
{
	if (!lost)
		return;
	if (settings.realtime)
		__sync_fetch_and_add(&counters->frames_lost, 1);
	else
		counters->frames_lost++;
}

/* The result of track_plain(). */
enum plain {
	NOT_PLAIN,
	COUNTED, /* to its connection and in the books */
	COUNTED_SPINNING, /* the same; its spin bit must be read */
	PARSED_PLAIN, /* not counted yet: count_packet() does that */
};

/*
 * Counts a plain frame to its connection, if that is in its first set. Otherwise it puts the parsed frame into `further`: on the hot path the
 * frame is in registers, and the verifier follows the rest once, not once for each family. If the frame spins, *wanted has its place, and
 * `further` only its side.
 */
static __always_inline enum plain track_plain(struct cursor *c, struct packet *p, const bool ethernet, __u64 bytes,
					      __u32 ifindex, __u32 slot, struct udp_track_books *counters,
					      struct frame *further, __u32 *wanted)
{
	__u32 room;
	__be16 ethertype = parse_plain_link(c, p, ethernet, &room);
	struct frame frame = {
		.wire = { .packets = 1, .bytes = bytes },
		.ifindex = ifindex,
		.slot = slot,
	};

	if (ethertype == bpf_htons(ETHERTYPE_IPV4)) {
		if (!parse_plain4(c, p, room))
			return NOT_PLAIN;
		frame.side = make_tuple4(p, &frame.tuple);
		*wanted = count_in_first_set(&frame, false);
	} else if (ethertype == bpf_htons(ETHERTYPE_IPV6)) {
		if (!parse_plain6(c, p, room))
			return NOT_PLAIN;
		frame.side = make_tuple6(p, &frame.tuple);
		*wanted = count_in_first_set(&frame, true);
	} else {
		return NOT_PLAIN;
	}
	p->payload = cursor_offset(c) + (p->version == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
	if (!(*wanted & NO_PLACE)) {
		book(counters, &frame.wire, TRACKED, true);
		if (!has_spins() || !*wanted)
			return COUNTED;
		further->side = frame.side;
		return COUNTED_SPINNING;
	}
	frame.handling = plain_handling(c, p);
	frame.payload = p->payload;
	*further = frame;
	return PARSED_PLAIN;
}

/*
 * Counts any parsed frame, off the hot path. Returns what else must be done with the frame (WANTS_...), with the place of its connection.
 * Each program calls it only once, because the verifier follows it again from each call.
 */
static __noinline __u32 track_further(struct frame *frame, int outcome, struct udp_track_books *counters)
{
	__u32 wanted = 0;

	if (!frame || !counters)
		return 0;
	if (outcome == PARSED)
		outcome = count_packet(frame, counters, &wanted);
	else if (settings.frame_bytes)
		wanted = frame->payload;
	book(counters, &frame->wire, outcome, false);
	return wanted;
}

/* Makes the frame to track from the parsed packet: a later fragment gets the ports of its first one. Returns PARSED, or the reason to skip. */
static __always_inline int complete(struct packet *p, struct frame *frame, int outcome)
{
	if (outcome != PARSED)
		return outcome;
	if (p->fragment != FRAGMENT_NONE && !match_fragment(p))
		return UDP_TRACK_FRAGMENT_WITHOUT_HEAD;
	frame->side = make_tuple(p, &frame->tuple);
	frame->handling = p->handling;
	if (has_payloads() && p->fragment != FRAGMENT_LATER)
		frame->payload = p->payload | (p->fragment == FRAGMENT_HEAD ? FRAGMENT_OF_MORE : 0);
	return PARSED;
}

/* Whether a capture wants an ICMP error about the connection at a place, as WANTS_FRAME with the place, or 0. */
static __always_inline __u32 quoted_frame(__u32 place)
{
	struct udp_track_line *line = settings.frame_bytes ? line_at(place) : NULL;

	return line && wants_frames(line) ? place | WANTS_FRAME : 0;
}

/* Handles an ICMP error that quotes this packet: the end that the packet went to could not be reached. */
static __noinline int track_error(const struct packet *quoted, struct frame *frame)
{
	__u32 place;

	if (!quoted || !frame)
		return 0;
	frame->side = make_tuple(quoted, &frame->tuple);
	place = find_place(frame, mix(&frame->tuple, frame->slot, true, false));
	if (place & NO_PLACE)
		return 0;
	/* The quoted packet did not reach the other side. */
	mark_unreachable(place, !frame->side);
	frame->payload = quoted_frame(place);
	return 0;
}

/* Replaces an ICMP error by the packet that it quotes. False if it quotes no UDP, or does not go to the sender of the quoted packet. */
static __always_inline int read_quote(void *data, void *end, struct packet *error)
{
	struct cursor c = { .start = data, .position = data, .end = end };
	__u64 to6[2] = { error->destination6[0], error->destination6[1] };
	__u32 to4 = error->destination4;

	error->fragment = FRAGMENT_NONE;
	if (!parse_quote(&c, error))
		return false;
	if (error->version == 4)
		return error->source4 == to4;
	return error->source6[0] == to6[0] && error->source6[1] == to6[1];
}

/* Host order: source << 16 | destination. */
static __always_inline __u32 ports_of(const struct packet *p)
{
	return (__u32)bpf_ntohs(p->source_port) << 16 | bpf_ntohs(p->destination_port);
}

/* Whether the message of a parsed frame must be read (message.h). */
static __always_inline bool has_message(const struct packet *p, int outcome)
{
	return settings.response_times && outcome == PARSED && p->fragment == FRAGMENT_NONE;
}

#endif

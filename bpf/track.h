/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From a parsed frame to its connection and to the books, whichever hook saw it. */
#ifndef TRACK_H
#define TRACK_H

/* Beside this, a program on the same CPU may write only where there is PREEMPT_RT. */
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

/* A frame to the books: each ends here once, in `seen`, and in `tracked` or in one reason. */
static __always_inline void book(struct udp_track_books *account, const struct udp_track_counts *wire, __u32 outcome,
				 const bool usual)
{
	add(&account->seen, wire, usual);
	if (outcome == TRACKED) {
		add(&account->tracked, wire, usual);
		return;
	}
	barrier_var(outcome); /* or the bound is asked of a copy: "unbounded memory access" */
	if (outcome < UDP_TRACK_SKIPS)
		add(&account->skipped[outcome], wire, usual);
}

/* A frame that was wanted did not reach user space, if so. */
static __always_inline void lose_frame(struct udp_track_books *account, int lost)
{
	if (!lost)
		return;
	if (settings.realtime)
		__sync_fetch_and_add(&account->frames_lost, 1);
	else
		account->frames_lost++;
}

/* What became of a plain frame. */
enum plain {
	NOT_PLAIN,
	COUNTED, /* and in the books */
	COUNTED_SPINNING, /* the same, and its spin bit is to be looked at */
	PARSED_PLAIN, /* to be counted by count_packet() */
};

/*
 * A plain frame to its connection, where that lies in its first set. Else what was parsed of it is in `further`: on the hot path the frame is in
 * registers, and the verifier follows what comes next once, not once for each family. Where it spins, its place is in *wanted.
 */
static __always_inline enum plain track_plain(struct cursor *c, struct packet *p, const bool ethernet, __u64 bytes,
					      __u32 ifindex, __u32 slot, struct udp_track_books *account,
					      struct frame *further, __u32 *wanted)
{
	__u32 room;
	__be16 ethertype = parse_plain_link(c, p, ethernet, &room);
	struct frame frame = {
		.wire = { .packets = 1, .bytes = bytes },
		.ifindex = ifindex,
		.slot = slot,
	};
	enum plain plain;

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
	if (!(*wanted & NO_PLACE)) {
		book(account, &frame.wire, TRACKED, true);
		if (!has_spins() || !*wanted)
			return COUNTED;
		plain = COUNTED_SPINNING;
	} else {
		plain = PARSED_PLAIN;
	}
	frame.ttl = p->ttl;
	p->payload = cursor_offset(c) + (p->version == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
	frame.payload = p->payload;
	*further = frame;
	return plain;
}

/*
 * A frame that was parsed, plain or not, out of the hot path's way. Gives what is wanted of it beside its counts, with the place of its
 * connection. Each program calls it in one place: the verifier follows it anew from each.
 */
static __noinline __u32 track_further(struct frame *frame, int outcome, struct udp_track_books *account)
{
	__u32 wanted = 0;

	if (!frame || !account)
		return 0;
	if (outcome == PARSED)
		outcome = count_packet(frame, account, &wanted);
	else if (settings.frame_bytes)
		wanted = frame->payload;
	book(account, &frame->wire, outcome, false);
	return wanted;
}

/* What was parsed, as a frame to be tracked: a fragment gets the ports of its head. Returns PARSED, or the reason to skip it. */
static __always_inline int complete(struct packet *p, struct frame *frame, int outcome)
{
	if (outcome != PARSED)
		return outcome;
	if (p->fragment != FRAGMENT_NONE && !match_fragment(p))
		return UDP_TRACK_FRAGMENT_WITHOUT_HEAD;
	frame->side = make_tuple(p, &frame->tuple);
	frame->ttl = p->ttl;
	if (has_payloads() && p->fragment != FRAGMENT_LATER)
		frame->payload = p->payload | (p->fragment == FRAGMENT_HEAD ? FRAGMENT_OF_MORE : 0);
	return PARSED;
}

/* What is wanted of an ICMP error about the connection at a place. */
static __always_inline __u32 quoted_frame(__u32 place)
{
	struct udp_track_line *line = settings.frame_bytes ? line_at(place) : NULL;

	return line && wants_frames(line) ? place | WANTS_FRAME : 0;
}

/* An ICMP error, of which this is the quoted packet: the far end of the connection cannot be reached. */
static __noinline int track_error(const struct packet *quoted, struct frame *frame)
{
	__u32 place;

	if (!quoted || !frame)
		return 0;
	frame->side = make_tuple(quoted, &frame->tuple);
	place = find_place(frame, mix(&frame->tuple, frame->slot, true, false));
	if (place & NO_PLACE)
		return 0;
	/* The other side is who the quoted packet did not reach. */
	mark_unreachable(place, !frame->side);
	frame->payload = quoted_frame(place);
	return 0;
}

/* Makes of an ICMP error the packet that it quotes; false when it quotes no UDP, or goes to somebody else than who sent that. */
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

/* Whether it matters which message a parsed frame is. */
static __always_inline bool has_message(const struct packet *p, int outcome)
{
	return settings.response_times && outcome == PARSED && p->fragment == FRAGMENT_NONE;
}

#endif

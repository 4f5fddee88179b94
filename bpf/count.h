/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A packet to its connection: found and counted, or not found, then judged by the filter, its place opened, and counted. */
#ifndef COUNT_H
#define COUNT_H

/* What becomes of a frame: a reason to skip it (enum udp_track_skip), or this. */
#define TRACKED 0x100

/* The place of a packet: found or opened; or NO_PLACE | the reason to skip it. */
static __always_inline __u32 find_or_open(const struct frame *frame, __u64 mixed)
{
	int judgement = ACCEPTED;
	__u32 place;

	if (filter.kind) {
		judgement = judge(frame);
		if (judgement == REFUSED)
			return NO_PLACE | UDP_TRACK_FILTERED;
	}
	place = find_place(frame, mixed);
	if (!(place & NO_PLACE))
		return place;
	if (judgement == JOINS)
		return NO_PLACE | UDP_TRACK_FILTERED;
	if (place == NO_PLACE)
		place = open_place(frame, mixed);
	return place & NO_PLACE ? NO_PLACE | UDP_TRACK_TABLE_FULL : place;
}

#define PACKET_FOLD (1ULL << UDP_TRACK_PACKET_FOLD_BIT)
#define BYTE_FOLD   (1ULL << UDP_TRACK_BYTE_FOLD_BIT)
#define FOLDS	    (PACKET_FOLD | BYTE_FOLD)

/*
 * Takes the upper bits out of a word of counts and counts them apart: each packet comes here that finds one of them set, and 2^23
 * packets, or 2^39 bytes, more would have to come before the first has done it. Taken out first: who reads in between
 * reads too little, and looks again (src/bpf/read/places.rs).
 */
__noinline int udp_track_fold(__u32 place, __u32 side)
{
	struct udp_track_line *line = line_at(place & PLACE);
	struct udp_track_detail *detail = detail_at(place & PLACE);
	struct udp_track_lock *lock = lock_of((place & PLACE) / UDP_TRACK_WAYS);
	__u64 counted;

	if (!line || !detail || !lock)
		return 0;
	side &= 1;
	bpf_spin_lock(&lock->lock);
	counted = *(volatile __u64 *)&line->counted[side];
	if (counted & PACKET_FOLD) {
		__sync_fetch_and_add(&line->counted[side], -PACKET_FOLD);
		detail->folded[side] += 1 << UDP_TRACK_FOLD_SHIFT;
	}
	if (counted & BYTE_FOLD) {
		__sync_fetch_and_add(&line->counted[side], -BYTE_FOLD);
		detail->byte_folds[side]++;
	}
	bpf_spin_unlock(&lock->lock);
	return 0;
}

/* Adds a packet to its connection, whose place was found. */
static __always_inline void add_to_line(struct udp_track_line *line, const struct frame *frame, __u32 side, __u32 now)
{
	__sync_fetch_and_add(&line->counted[side], frame->wire.packets << UDP_TRACK_PACKET_SHIFT | frame->wire.bytes);
	if (line->last != now)
		line->last = now;
}

/* The first place of a set with a tag, by four tags each; UDP_TRACK_WAYS if there is none. */
static __always_inline __u32 first_tagged(const struct udp_track_set *set, __u64 tag)
{
	const volatile __u64 *words = (const volatile __u64 *)set->tags;
	__u64 zeros;

	tag *= 0x0001000100010001ULL;
#pragma unroll
	for (int i = 0; i < UDP_TRACK_WAYS / 4; i++) {
		zeros = has_zero_tag(words[i] ^ tag);
		if (zeros)
			return i * 4 + first_zero_tag(zeros);
	}
	return UDP_TRACK_WAYS;
}

/*
 * Counts a packet whose connection lies in its first set and that changes nothing else: most of all packets. Gives NO_PLACE where it is for
 * count_packet(), as all are with unusual settings; else 0, or WANTS_SPIN and the place. `ipv6` and the frame are what the caller knows:
 * nothing of it is in memory.
 */
static __always_inline __u32 count_in_first_set(const struct frame *frame, const bool ipv6)
{
	__u64 mixed = mix(&frame->tuple, frame->slot, ipv6, true);
	__u32 index = first_set(mixed), side = frame->side & 1, now, way;
	struct udp_track_set *set = bpf_map_lookup_elem(&connections, &index);
	struct udp_track_line *line;

	if (!set || settings.unusual)
		return NO_PLACE;
	/* So that the tags are on their way while the home is looked at: in a large table both are far. */
	(void)*(volatile __u64 *)set->tags;
	way = home_way(mixed);
	line = &set->lines[way];
	barrier_var(line); /* or clang makes the pointer anew for each field */
	if (!is_line(line, frame, true)) {
		way = first_tagged(set, tag_of(mixed)) & (UDP_TRACK_WAYS - 1);
		line = &set->lines[way];
		barrier_var(line);
		if (!is_line(line, frame, true))
			return NO_PLACE;
	}
	if (ipv6) {
		struct udp_track_details *rests = bpf_map_lookup_elem(&details, &index);

		if (!rests || !is_detail(&rests->details[way], frame))
			return NO_PLACE;
	}
	now = bpf_jiffies64();
	if (wants_attention(line, side, now) || line->counted[side] & FOLDS)
		return NO_PLACE;
	if (settings.slot_bits && line->interface[side] != frame->slot + 1)
		return NO_PLACE;
	add_to_line(line, frame, side, now);
	return is_spinning(line) ? (index * UDP_TRACK_WAYS + way) | WANTS_SPIN : 0;
}

/*
 * Counts any packet to its connection: found wherever it lies, or opened if the filter wants it. Returns TRACKED or the reason to skip it.
 * What is wanted of the packet beside that is in *wanted, with its place.
 */
static __always_inline int count_packet(const struct frame *frame, struct udp_track_books *counters, __u32 *wanted)
{
	__u32 place, side, kind, refused, now;
	struct udp_track_line *line;
	__u64 counted;

	if (!frame || !counters)
		return UDP_TRACK_TABLE_FULL;
	place = find_or_open(frame, mix(&frame->tuple, frame->slot, true, false));
	if (place & NO_PLACE)
		return place & 0xff;
	now = now_jiffies();
	line = line_at(place & PLACE);
	if (!line)
		return UDP_TRACK_TABLE_FULL;
	side = frame->side & 1;
	if (!(place & PLACE_OPENED) && changes_state(line, side, now)) {
		refused = udp_track_change_state(place, side, frame->slot, frame->handling, frame->message);
		if (refused & NO_PLACE)
			return refused & 0xff;
	} else if (settings.slot_bits && line->interface[side] != frame->slot + 1) {
		return UDP_TRACK_OTHER_INTERFACE;
	}
	*wanted = (place & PLACE) | wants_more(line, side);
	counted = line->counted[side];
	add_to_line(line, frame, side, now);
	if (counted & FOLDS)
		udp_track_fold(place, side);
	kind = place & PLACE_OPENED ? UDP_TRACK_NEW : UDP_TRACK_DATA;
	if (settings.events & kind)
		counters->events_lost += send_event(frame, kind, place);
	return TRACKED;
}

#endif

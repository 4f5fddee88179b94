/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What packets change beside counts: the state of a connection, whose packets its directions are, and response times, from the
 * originator's first unanswered packet to the next packet back.
 *
 * Most packets change none of it. A place says so in two bits, `attention`, one for each side: a stream in one direction, or an
 * answered one that has become ASSURED, pays for a look at them. A packet whose bit is set comes here, and takes the lock if it has to.
 *
 * Why the numbers are exact
 * - Everything here changes under the lock of the place's block, and is asked again there: of two packets that both saw a request wait,
 *   one counts the answer.
 * - The clock is read before the lock, as no helper may be called under it. An answer whose time lies before the request that
 *   waits by now passed first: it is none.
 * - A place is one connection's as long as this program runs (table.h).
 */
#ifndef STATE_H
#define STATE_H

#define FIRST_BUCKET_BITS 13

/* The number of bits of ns >> FIRST_BUCKET_BITS, by halves: a loop would be unrolled into as many branches as bits. */
static __always_inline __u32 bucket_of(__u64 ns)
{
	__u64 rest = ns >> FIRST_BUCKET_BITS;
	__u32 bits = 0;

	if (rest >> (UDP_TRACK_RESPONSE_BUCKETS - 1))
		return UDP_TRACK_RESPONSE_BUCKETS - 1;
	for (__u32 half = 16; half; half /= 2) {
		if (rest >> half) {
			rest >>= half;
			bits += half;
		}
	}
	return bits + (__u32)rest;
}

/* REPLIED, and still traffic after 2 s: netfilter's rule for ASSURED. */
static __always_inline bool is_lasting(const struct udp_track_line *line, __u32 now)
{
	return line->state == UDP_TRACK_REPLIED && (__s32)(now - line->first) > (__s32)settings.assured_jiffies;
}

/* Whether a packet of a connection that is REPLIED changes nothing else, and comes too early for ASSURED. */
static __always_inline bool comes_early(const struct udp_track_line *line, const struct frame *frame, __u32 now)
{
	__u8 sides = line->sides, side = frame->side & 1;
	bool is_request = side == (sides & UDP_TRACK_ORIGIN ? 1 : 0);

	return line->state == UDP_TRACK_REPLIED && !is_lasting(line, now) && line->interface[side] == frame->slot + 1 &&
	       (!settings.response_times || is_request == !!(sides & UDP_TRACK_WAITING));
}

/* A packet that changes more than counts. Returns 0, or why it is not counted: NO_PLACE | a reason. */
static __noinline __u32 change_state(const struct frame *frame, __u32 place)
{
	struct udp_track_detail *detail = detail_at(place & PLACE);
	struct udp_track_line *line = line_at(place & PLACE);
	__u32 side, outcome = 0, now = bpf_jiffies64(), bucket = 0;
	struct udp_track_response *r;
	struct udp_track_lock *lock;
	__u64 ns, waiting_ns, took;
	__u8 sides, state;
	bool is_request, is_fresh;

	place &= PLACE;
	r = bpf_map_lookup_elem(&responses, &place);
	lock = lock_of(place / UDP_TRACK_WAYS);
	if (!frame || !line || !detail || !lock)
		return 0;
	if (comes_early(line, frame, now))
		return 0;
	side = frame->side & 1;
	ns = bpf_ktime_get_ns();
	waiting_ns = *(volatile __u64 *)&detail->waiting_ns;
	took = ns - waiting_ns;
	if (r)
		bucket = bucket_of(took);
	if (bucket >= UDP_TRACK_RESPONSE_BUCKETS) /* never; for the verifier */
		return 0;

	bpf_spin_lock(&lock->lock);
	sides = line->sides;
	state = line->state;
	is_request = side == (sides & UDP_TRACK_ORIGIN ? 1 : 0);
	is_fresh = !(sides >> side & 1);
	if (!is_fresh && line->interface[side] != frame->slot + 1) {
		outcome = NO_PLACE | UDP_TRACK_OTHER_INTERFACE;
		goto unlock;
	}
	if (is_fresh) {
		line->interface[side] = frame->slot + 1;
		line->ttl[side] = frame->ttl;
		detail->reply_ns = ns;
		sides |= 1 << side;
		if (state == UDP_TRACK_ESTABLISHED)
			state = UDP_TRACK_REPLIED;
	} else if (is_lasting(line, now)) {
		state = UDP_TRACK_ASSURED;
	}
	if (state == UDP_TRACK_UNREACHABLE && side == line->unreachable)
		state = (sides & UDP_TRACK_SEEN) == UDP_TRACK_SEEN ? UDP_TRACK_REPLIED : UDP_TRACK_ESTABLISHED;
	if (settings.response_times && r) {
		if (is_request && !(sides & UDP_TRACK_WAITING)) {
			detail->waiting_ns = ns;
			sides |= UDP_TRACK_WAITING;
		} else if (!is_request && sides & UDP_TRACK_WAITING && detail->waiting_ns == waiting_ns &&
			   ns >= waiting_ns) {
			sides &= ~UDP_TRACK_WAITING;
			*(volatile __u32 *)&r->version = r->version + 1;
			barrier();
			r->sum_ns += took;
			if (!r->answered || took < r->min_ns)
				r->min_ns = took;
			if (took > r->max_ns)
				r->max_ns = took;
			r->answered++;
			if (r->histogram[bucket] != ~0u)
				r->histogram[bucket]++;
			barrier();
			*(volatile __u32 *)&r->version = r->version + 1;
		}
	}
	line->state = state;
	line->sides = sides;
	line->attention = attention_of(sides, state, line->unreachable);
unlock:
	bpf_spin_unlock(&lock->lock);
	return outcome;
}

/* An ICMP error quoted a packet of this connection that went to `side`. */
static __always_inline void mark_unreachable(__u32 place, __u32 side)
{
	struct udp_track_line *line = line_at(place);
	struct udp_track_lock *lock = lock_of(place / UDP_TRACK_WAYS);

	if (!line || !lock)
		return;
	bpf_spin_lock(&lock->lock);
	line->state = UDP_TRACK_UNREACHABLE;
	line->unreachable = side & 1;
	line->attention = attention_of(line->sides, UDP_TRACK_UNREACHABLE, side);
	bpf_spin_unlock(&lock->lock);
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What packets change beside counts: the state of a connection, whose packets its directions are, and what became of its requests
 * (response.h).
 *
 * Most packets change none of it. A place says so in `attention`, two bits for each side: one for all of its packets, one for those that
 * come in a later jiffy than the packet before. A stream in one direction, or an answered one that has become ASSURED, pays for a look
 * at them. A packet whose bit is set comes here, and takes the lock if it has to.
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

/* REPLIED, and still traffic after 2 s: netfilter's rule for ASSURED. */
static __always_inline bool is_lasting(const struct udp_track_line *line, __u32 now)
{
	return line->state == UDP_TRACK_REPLIED && (__s32)(now - line->first) > (__s32)settings.assured_jiffies;
}

#define ERROR_LASTS 8 /* of 2^error_shift jiffies: two seconds */

/* Jiffies in seven bits. */
static __always_inline __u8 error_time(__u32 now)
{
	return now >> settings.error_shift & 127;
}

/* Whether a packet shows that an UNREACHABLE connection is not: it comes from the side that the error was about, or long after it. */
static __always_inline bool is_reached(const struct udp_track_line *line, __u32 side, __u32 now)
{
	__u8 since = (error_time(now) - (line->unreachable >> 1)) & 127;

	/* Not a clock that was read before another CPU's. */
	return side == (line->unreachable & 1) || (since >= ERROR_LASTS && since < 64);
}

/* Whether a packet of a connection that is REPLIED changes nothing else, and comes too early for ASSURED. */
static __always_inline bool comes_early(const struct udp_track_line *line, const struct udp_track_detail *detail,
					__u32 side, __u32 slot, __u32 message, __u32 now)
{
	__u8 sides = line->sides;
	bool is_request = side == asks(sides);

	if (line->state != UDP_TRACK_REPLIED || is_lasting(line, now) || line->interface[side] != slot + 1)
		return false;
	if (!settings.response_times)
		return true;
	if (is_request != !!(sides & UDP_TRACK_WAITING) || (message | detail->message) & BY_ID)
		return false;
	return !is_request || line->last == now;
}

/* Whose request it is: when roles are turned, what was taken for requests before is none. */
static __always_inline __u32 asked_place(__u32 place, __u32 side)
{
	return place | side << 31;
}

/*
 * What `requests` has of a frame's message, 0 if nothing. An answer takes it out, and whoever is second finds nothing. What was asked
 * before this connection began is of the one that lay there before.
 */
static __always_inline __u64 known_request(__u32 message, __u32 place, __u32 side, bool is_request, __u64 first_ns)
{
	struct udp_track_request key = { .place = asked_place(place, is_request ? side : !side), .message = message };
	__u64 *found = bpf_map_lookup_elem(&requests, &key), ns;

	if (!found)
		return 0;
	ns = *found;
	if (ns < first_ns || (!is_request && (int)bpf_map_delete_elem(&requests, &key)))
		return 0;
	return ns;
}

/* A packet that changes more than counts. Returns 0, or why it is not counted: NO_PLACE | a reason. */
__noinline __u32 udp_track_change_state(__u32 place, __u32 side, __u32 slot, __u32 handling, __u32 message)
{
	struct udp_track_detail *detail = detail_at(place & PLACE);
	struct udp_track_line *line = line_at(place & PLACE);
	__u32 outcome = 0, now, bucket = 0;
	__u64 ns, asked_ns = 0, known_ns = 0;
	struct udp_track_response *r;
	struct udp_track_lock *lock;
	bool is_request, is_fresh, is_entered = false;
	__u8 state;

	place &= PLACE;
	r = bpf_map_lookup_elem(&responses, &place);
	lock = lock_of(place / UDP_TRACK_WAYS);
	side &= 1;
	if (!line || !detail || !lock)
		return 0;
	now = now_jiffies(); /* not before the lookups, where it would lie on the stack */
	if (comes_early(line, detail, side, slot, message, now))
		return 0;
	is_request = side == asks(line->sides);
	ns = now_ns();
	if (settings.response_times && r) {
		if (message & BY_ID && message != detail->message && (line->open[0] | line->open[1] | r->lost))
			known_ns = known_request(message, place, side, is_request, detail->first_ns);
		asked_ns = known_ns && !is_request ? known_ns : *(volatile __u64 *)&detail->waiting_ns;
		bucket = bucket_of(ns - asked_ns);
		if (bucket >= UDP_TRACK_RESPONSE_BUCKETS) /* never; for the verifier */
			return 0;
	}

	bpf_spin_lock(&lock->lock);
	state = line->state;
	is_fresh = !(line->sides >> side & 1);
	if (!is_fresh && line->interface[side] != slot + 1) {
		outcome = NO_PLACE | UDP_TRACK_OTHER_INTERFACE;
		goto unlock;
	}
	if (is_fresh) {
		line->interface[side] = slot + 1;
		line->ttl[side] = handling;
		detail->folded[side] |= class_of(handling);
		detail->reply_ns = ns;
		line->sides |= 1 << side;
		if (state == UDP_TRACK_ESTABLISHED)
			state = UDP_TRACK_REPLIED;
	} else if (is_lasting(line, now)) {
		state = UDP_TRACK_ASSURED;
	}
	if (state == UDP_TRACK_UNREACHABLE && is_reached(line, side, now))
		state = (line->sides & UDP_TRACK_SEEN) == UDP_TRACK_SEEN ? UDP_TRACK_REPLIED : UDP_TRACK_ESTABLISHED;
	line->state = state;
	if (settings.response_times && r && is_request == (side == asks(line->sides))) {
		begin_change(r);
		if (r->version == 1)
			r->began = line->first;
		begin_epoch(line, r, ns, now);
		if (!is_request) {
			if (known_ns) {
				take_answer(line, r, asked_ns, ns, bucket);
			} else if (is_answer(line, detail, message) && detail->waiting_ns == asked_ns &&
				   ns >= asked_ns) {
				take_answer(line, r, asked_ns, ns, bucket);
				stop_waiting(line, r, now);
			}
		} else if (is_silent(line, side, message | detail->message)) {
			lose_open(line, r);
			line->sides &= ~UDP_TRACK_WAITING;
		} else {
			is_entered = ask(line, detail, r, message, known_ns, ns, now);
		}
		end_change(r);
	}
	line->attention = attention_of(line, detail->message);
unlock:
	bpf_spin_unlock(&lock->lock);
	if (is_entered) {
		struct udp_track_request key = { .place = asked_place(place, side), .message = message };

		bpf_map_update_elem(&requests, &key, &ns, BPF_ANY);
	}
	return outcome;
}

/*
 * An ICMP error quoted a packet of this connection that went to `side`. Anybody can send one, so it holds only if it can be true: the other
 * side has sent lately. And it holds for a moment only: where traffic goes on, either side's, without another error, it is over.
 */
static __always_inline void mark_unreachable(__u32 place, __u32 side)
{
	struct udp_track_line *line = line_at(place);
	struct udp_track_detail *detail = detail_at(place);
	struct udp_track_lock *lock = lock_of(place / UDP_TRACK_WAYS);
	__u32 now = now_jiffies();

	if (!line || !detail || !lock)
		return;
	/* By difference: `last` may be of a CPU that is a jiffy ahead. */
	if (!(line->sides >> !(side & 1) & 1) || (__s32)(now - line->last) > (__s32)settings.lost_jiffies)
		return;
	bpf_spin_lock(&lock->lock);
	line->state = UDP_TRACK_UNREACHABLE;
	line->unreachable = (side & 1) | error_time(now) << 1;
	line->attention = attention_of(line, detail->message);
	bpf_spin_unlock(&lock->lock);
}

#endif

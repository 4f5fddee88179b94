/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What user space finds out of a connection, put into the table: which side asks, answers that came from elsewhere, and whether its frames
 * are wanted. So each reader of the table has it, and what is measured from then on is right.
 */
#ifndef AMEND_H
#define AMEND_H

#define ROLES (UDP_TRACK_KNOWN | UDP_TRACK_GUESSED)

/* The other side asks: what was measured is no response time, and begins anew. */
static __always_inline void turn_roles(struct udp_track_line *line, struct udp_track_detail *detail,
				       struct udp_track_response *r)
{
	line->sides ^= UDP_TRACK_ASKS;
	line->sides &= ~(UDP_TRACK_WAITING | UDP_TRACK_BOUND);
	line->open[0] = line->open[1] = 0;
	detail->message = NO_MESSAGE;
	if (!r)
		return;
	r->lost = r->retries = 0;
	r->answered = r->sum_ns = r->min_ns = r->max_ns = 0;
	r->began = r->shortest = 0;
#pragma unroll
	for (int i = 0; i < UDP_TRACK_RESPONSE_BUCKETS; i++)
		r->histogram[i] = 0;
}

/* Its frames are not wanted: its payload may be. */
static __always_inline void leave_frames(struct udp_track_line *line)
{
	line->attention &= ~(FRAMES | UDP_TRACK_SEEN << COPY_SHIFT);
	if (is_payload_due(line, 0))
		line->attention |= 1 << COPY_SHIFT;
	if (is_payload_due(line, 1))
		line->attention |= 2 << COPY_SHIFT;
}

/* One amendment. A global function: the verifier checks it once, not once for each of a run. */
__noinline int udp_track_amend_one(__u32 index)
{
	struct udp_track_amendment *amendment = bpf_map_lookup_elem(&amendments, &index);
	__u32 place, bucket, now = now_jiffies();
	struct udp_track_response *r;
	struct udp_track_detail *detail;
	struct udp_track_line *line;
	struct udp_track_lock *lock;
	__u64 ns, asked_ns;
	__u8 kind;

	if (!amendment)
		return 0;
	place = amendment->place & PLACE;
	kind = amendment->kind;
	ns = amendment->ns;
	line = line_at(place);
	detail = detail_at(place);
	r = bpf_map_lookup_elem(&responses, &place);
	lock = lock_of(place / UDP_TRACK_WAYS);
	if (!line || !detail || !lock)
		return 0;
	asked_ns = *(volatile __u64 *)&detail->waiting_ns;
	bucket = bucket_of(ns - asked_ns);
	if (bucket >= UDP_TRACK_RESPONSE_BUCKETS) /* never; for the verifier */
		return 0;
	bpf_spin_lock(&lock->lock);
	if (line->id == amendment->id) {
		if (r)
			begin_change(r);
		if (kind & UDP_TRACK_SWAP_ROLES)
			turn_roles(line, detail, r);
		if (kind & UDP_TRACK_SET_ROLE)
			line->sides = (line->sides & ~ROLES) | (amendment->role & ROLES);
		if (r && kind & UDP_TRACK_ANSWER && line->sides & UDP_TRACK_WAITING && detail->waiting_ns == asked_ns &&
		    ns >= asked_ns) {
			if (r->version == 1)
				r->began = line->first;
			take_answer(line, r, asked_ns, ns, bucket);
			stop_waiting(line, r, now);
		}
		if (r)
			end_change(r);
		if (kind & UDP_TRACK_WANT_FRAMES)
			line->attention |= FRAMES | UDP_TRACK_SEEN << COPY_SHIFT;
		if (kind & UDP_TRACK_LEAVE_FRAMES)
			leave_frames(line);
		/* end_payload() takes the bits away with the next datagrams. */
		if (settings.payloads == UDP_TRACK_ALL_PAYLOADS && kind & UDP_TRACK_HEAR && !wants_frames(line))
			line->attention |= UDP_TRACK_SEEN << COPY_SHIFT;
		if (has_spins() && kind & UDP_TRACK_SPINS)
			line->attention |= SPINS;
		line->attention = attention_of(line, detail->message);
	}
	bpf_spin_unlock(&lock->lock);
	return 0;
}

#endif

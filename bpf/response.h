/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Response times: from the originator's first unanswered packet to the next packet back.
 *
 * A connection has a line of `responses` from its first packet to its end; its slots know the number. A packet reads the
 * line's byte of `waits`, and only one that turns the direction (a request where none waits, an answer where one does) reads
 * the clock and writes. So a stream in one direction pays for one read of a byte that nobody writes.
 *
 * Why the numbers are exact
 * - A line changes only under its lock, and what turns the direction is asked again there: of two packets that both saw a
 *   request wait, one counts the answer.
 * - The clock is read before the lock, as no helper may be called under it. An answer whose time lies before the request
 *   that waits by now passed first: it is none.
 * - A line belongs to one connection. It is taken before the connection is LIVE and given back by whoever ends it, when no
 *   slot knows it any more (cache.h). Slots of a CPU that was offline meanwhile may: so each change asks for the tag.
 */
#ifndef RESPONSE_H
#define RESPONSE_H

/* Global functions: the verifier checks each once, not once per call. */

#define FIRST_BUCKET_BITS 13

/* A line for a new connection; UDP_TRACK_NO_LINE when there is none, which user space has made enough for. */
__noinline __u32 udp_track_take_line(__u64 id)
{
	__u32 line = UDP_TRACK_NO_LINE, zero = 0;
	struct udp_track_response_line *response;

	if ((int)bpf_map_pop_elem(&free_lines, &line)) {
		struct udp_track_fresh_lines *fresh = bpf_map_lookup_elem(&fresh_lines, &zero);

		line = UDP_TRACK_NO_LINE;
		if (!fresh)
			return line;
		bpf_spin_lock(&fresh->lock);
		if (fresh->next < settings.lines)
			line = fresh->next++;
		bpf_spin_unlock(&fresh->lock);
	}
	response = bpf_map_lookup_elem(&responses, &line);
	if (!response)
		return UDP_TRACK_NO_LINE;
	response->tag = id; /* nobody else has the line; the last who had it left it empty */
	return line;
}

__noinline int udp_track_give_line(__u32 line)
{
	if (line != UDP_TRACK_NO_LINE)
		bpf_map_push_elem(&free_lines, &line, 0);
	return 0;
}

/* Whether a request waits in a line, as the packets see it; NULL when there is no such line. */
static __always_inline __u8 *find_wait(__u32 line)
{
	__u32 index = line / UDP_TRACK_WAITS;
	struct udp_track_waits *near = bpf_map_lookup_elem(&waits, &index);

	return near ? &near->waits[line % UDP_TRACK_WAITS] : NULL;
}

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

/* A packet that turned the direction when it was looked at. `ns` is its time, 0 = not read yet. */
__noinline int udp_track_turn(__u32 line, __u64 id, __u32 is_request, __u64 ns)
{
	struct udp_track_response_line *response = bpf_map_lookup_elem(&responses, &line);
	__u8 *waits = find_wait(line);
	struct udp_track_response *r;
	__u64 waiting_ns, took;
	__u32 bucket;

	if (!response || !waits)
		return 0;
	r = &response->response;
	waiting_ns = *(volatile __u64 *)&r->waiting_ns;
	if (!ns)
		ns = bpf_ktime_get_ns();
	if (!waiting_ns == !is_request || ns < waiting_ns)
		return 0;
	took = ns - waiting_ns;
	bucket = bucket_of(took);
	if (bucket >= UDP_TRACK_RESPONSE_BUCKETS) /* never; for the verifier */
		return 0;
	bpf_spin_lock(&response->lock);
	if (response->tag != (__u32)id || r->waiting_ns != waiting_ns) {
		/* another packet was faster, or this is not the slot's line any more */
	} else if (is_request) {
		r->waiting_ns = ns;
		*waits = 1;
	} else {
		r->waiting_ns = 0;
		*waits = 0;
		r->sum_ns += took;
		if (!r->answered || took < r->min_ns)
			r->min_ns = took;
		if (took > r->max_ns)
			r->max_ns = took;
		r->answered++;
		if (r->histogram[bucket] != ~0u)
			r->histogram[bucket]++;
	}
	bpf_spin_unlock(&response->lock);
	return 0;
}

/* Whether this side is who began, so that its packet is a request. */
static __always_inline __u32 is_request(const struct udp_track_delta *delta, __u32 side)
{
	return (side ^ delta->sides / UDP_TRACK_ORIGIN ^ 1) & 1;
}

/* Whether a packet of a connection that was counted (its slot, or its delta) seems to turn the direction. */
static __always_inline bool turns(const struct udp_track_delta *delta, __u32 side)
{
	const volatile __u8 *waits;

	if (!settings.lines)
		return false;
	waits = find_wait(delta->line);
	return waits && *waits != is_request(delta, side);
}

/* Takes the final values of a connection that ended, and gives its line back. */
static __always_inline void end_line(__u32 line, struct udp_track_response *final)
{
	struct udp_track_response_line *response = bpf_map_lookup_elem(&responses, &line);
	__u8 *waits = find_wait(line);

	__builtin_memset(final, 0, sizeof(*final));
	if (!response || !waits)
		return;
	bpf_spin_lock(&response->lock);
	*final = response->response;
	__builtin_memset(&response->response, 0, sizeof(response->response));
	response->tag = 0;
	*waits = 0;
	bpf_spin_unlock(&response->lock);
	udp_track_give_line(line);
}

#endif

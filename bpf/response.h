/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Requests and their answers: a packet of the side that asks is a request, one of the other side may be its answer. All of it is called
 * under the lock of the place's block.
 *
 * One request at a time is in `message` and `waiting_ns`; it waits (UDP_TRACK_WAITING) until
 * - an answer comes: a packet back, with the same id where the protocol has one;
 * - it is asked again, with the same bytes: it is lost, and the new one is a retry;
 * - another one is asked later than an answer needs, by what answers have taken: it is lost.
 * Another request that comes earlier than that, or while a burst goes on, is not told apart where the protocol has no id: it is taken for
 * a part of the one that waits, the time is from the latest of them, and UDP_TRACK_BOUND says that it is a lower bound. With
 * an id each is a request of its own; the further ones are in `requests`.
 *
 * `open` counts requests that have no answer, by the epoch in which they were asked: what is two epochs old is lost, though nobody looks
 * at it, and user space reads it so. An answer that comes later still takes its request out of `lost`. So asked = answered + lost +
 * open, at any time.
 */
#ifndef RESPONSE_H
#define RESPONSE_H

#define AGAIN_NS       5000000 /* the same bytes within 5 ms are a copy, no retry */
#define TIMES_SHORTEST 4 /* an answer takes at most so many times the shortest time */

/* The number of bits of ns >> UDP_TRACK_FIRST_BUCKET_BITS, by halves: a loop would be unrolled into as many branches as bits. */
static __always_inline __u32 bucket_of(__u64 ns)
{
	__u64 rest = ns >> UDP_TRACK_FIRST_BUCKET_BITS;
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

static __always_inline __u8 epoch_of(__u64 ns)
{
	return ns >> UDP_TRACK_EPOCH_SHIFT;
}

/* What user space takes again if it read in between. */
static __always_inline void begin_change(struct udp_track_response *r)
{
	*(volatile __u32 *)&r->version = r->version + 1;
	barrier();
}

static __always_inline void end_change(struct udp_track_response *r)
{
	barrier();
	*(volatile __u32 *)&r->version = r->version + 1;
}

static __always_inline void lose_open(struct udp_track_line *line, struct udp_track_response *r)
{
	r->lost += line->open[0] + line->open[1];
	line->open[0] = line->open[1] = 0;
}

/* What is open by now. `now` is in jiffies: after a longer silence 8 bits of an epoch say nothing. */
static __always_inline void begin_epoch(struct udp_track_line *line, struct udp_track_response *r, __u64 ns, __u32 now)
{
	__u8 epoch = epoch_of(ns), ahead = epoch - line->epoch;

	if (now - line->last > settings.lost_jiffies && (__s32)(now - line->last) > 0) {
		lose_open(line, r);
	} else if (ahead == 1) {
		r->lost += line->open[1];
		line->open[1] = line->open[0];
		line->open[0] = 0;
	} else if (ahead && ahead < 128) {
		lose_open(line, r);
	} else {
		return; /* the same, or a clock that was read before another CPU's */
	}
	line->epoch = epoch;
}

static __always_inline void open_request(struct udp_track_line *line, __u64 ns)
{
	__u32 old = epoch_of(ns) != line->epoch;

	if (line->open[old] != 0xffff)
		line->open[old]++;
}

/* A request that was asked at `ns` is no longer open. */
static __always_inline void close_request(struct udp_track_line *line, struct udp_track_response *r, __u64 ns)
{
	__u8 age = line->epoch - epoch_of(ns);

	if (age == 0 && line->open[0])
		line->open[0]--;
	else if (age == 1 && line->open[1])
		line->open[1]--;
	else if (r->lost)
		r->lost--;
	else if (line->open[1])
		line->open[1]--;
	else if (line->open[0])
		line->open[0]--;
}

/* The request that waits is now this one. */
static __always_inline void wait_for(struct udp_track_line *line, struct udp_track_detail *detail, __u32 message,
				     __u64 ns)
{
	detail->message = message;
	detail->waiting_ns = ns;
	line->sides |= UDP_TRACK_WAITING;
}

/* The one that was asked at `ns` is asked again. */
static __always_inline void retry(struct udp_track_line *line, struct udp_track_response *r, __u64 before_ns, __u64 ns)
{
	close_request(line, r, before_ns);
	open_request(line, ns);
	r->lost++;
	r->retries++;
}

/* Whether a request comes later than an answer to the one that waits. */
static __always_inline bool is_late(const struct udp_track_response *r, __u32 now)
{
	__u16 since = (__u16)now - r->began;

	return since >= (r->shortest ? r->shortest * TIMES_SHORTEST : settings.pause_jiffies);
}

/* A request; `known_ns` is when the same was asked before, if `requests` has it. True if it is to be entered there. */
static __always_inline bool ask(struct udp_track_line *line, struct udp_track_detail *detail,
				struct udp_track_response *r, __u32 message, __u64 known_ns, __u64 ns, __u32 now)
{
	if (!(line->sides & UDP_TRACK_WAITING)) {
		wait_for(line, detail, message, ns);
		open_request(line, ns);
		r->began = now;
		return false;
	}
	if (message && message == detail->message) {
		if (ns - detail->waiting_ns < AGAIN_NS)
			return false;
		retry(line, r, detail->waiting_ns, ns);
		wait_for(line, detail, message, ns);
		r->began = now;
		return false;
	}
	if (ns - detail->waiting_ns >= UDP_TRACK_PATIENCE_NS) {
		close_request(line, r, detail->waiting_ns);
		r->lost++;
		open_request(line, ns);
		wait_for(line, detail, message, ns);
		r->began = now;
		return false;
	}
	if (message & BY_ID) {
		if (!known_ns)
			open_request(line, ns);
		else if (ns - known_ns < AGAIN_NS)
			return false;
		else
			retry(line, r, known_ns, ns);
		return true;
	}
	if (is_late(r, now)) {
		lose_open(line, r);
		r->began = now;
	} else {
		line->sides |= UDP_TRACK_BOUND;
		close_request(line, r, detail->waiting_ns);
	}
	open_request(line, ns);
	wait_for(line, detail, message, ns);
	return false;
}

/* Whether a packet back is the answer to the request that waits. */
static __always_inline bool is_answer(const struct udp_track_line *line, const struct udp_track_detail *detail,
				      __u32 message)
{
	return line->sides & UDP_TRACK_WAITING && (!(message & detail->message & BY_ID) || message == detail->message);
}

/* The answer to a request that was asked at `asked_ns`. `bucket` is that of its time. */
static __always_inline void take_answer(struct udp_track_line *line, struct udp_track_response *r, __u64 asked_ns,
					__u64 ns, __u32 bucket)
{
	__u64 took = ns - asked_ns;

	close_request(line, r, asked_ns);
	r->sum_ns += took;
	if (!r->answered || took < r->min_ns)
		r->min_ns = took;
	if (took > r->max_ns)
		r->max_ns = took;
	r->answered++;
	if (r->histogram[bucket] != ~0u)
		r->histogram[bucket]++;
}

/* The request that waited has been answered: how long that took from the first one since the answer before. */
static __always_inline void stop_waiting(struct udp_track_line *line, struct udp_track_response *r, __u32 now)
{
	__u16 took = (__u16)now - r->began + 1;

	line->sides &= ~UDP_TRACK_WAITING;
	if (took && (!r->shortest || took < r->shortest))
		r->shortest = took;
}

#endif

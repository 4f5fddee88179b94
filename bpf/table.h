/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The table: one array that all CPUs share. A set has sixteen places, and a tag for each in one cache line. The hash of a tuple gives
 * the connection a set, a home place in it, and a second set in the same block of sets. A packet first looks at the home place: most
 * connections are there, so it touches only one line. Otherwise the tags show which places of the set may fit. The second set is
 * searched only if connections of the first set are there (`detours_opened`).
 *
 * Why the counts are exact
 * - A lookup always compares the whole tuple. Tag and home place only tell where to look.
 * - FREE -> LIVE: only the packet path does this, under the lock of the block. Both sets of a tuple are in one block, so only the holder
 *   of the lock that finds the tuple in neither set opens a place. It writes key[0] last: a packet that sees a half written place
 *   sees a different tuple, takes the lock and looks again. The packet that opens a place counts like each later one.
 * - LIVE -> ENDING: only user space does this, by one bit of key[0] in the mapped memory. From then on no packet finds the place, and
 *   the next packet of that tuple opens a new place. Nothing is refused.
 * - ENDING -> FREE: only user space does this, after a grace period in which all running programs have returned. So nobody can still add
 *   to the place when its final values are read. Then user space empties the place, the tag last.
 * - So while a program runs, a place that it has found cannot become another connection's.
 * - Counts of a place change only by atomic adds, from zero. So any CPU and any hook may count, in any order, even before the place is
 *   fully visible. Packets and bytes are one word and one add; before it overflows, fold() in count.h takes the upper bit out.
 * - Everything else in a place is written under the lock, except `last`: CPUs may write it in any order, within a jiffy or for as long
 *   as one of them was interrupted. User space does not end a connection that has counted since its last look.
 * - Linux 5.10 has only atomic adds without a result; they are enough. On PREEMPT_RT, bpf_spin_lock() also disables interrupts.
 */
#ifndef TABLE_H
#define TABLE_H

/* A parsed frame. */
struct frame {
	struct udp_track_tuple tuple;
	struct udp_track_counts wire;
	__u32 side; /* that sent it */
	__u32 handling; /* enum handling */
	__u32 ifindex;
	__u32 slot; /* of that interface */
	__u32 message; /* which message it is (message.h); NO_MESSAGE for a fragment, or if no output needs it */
	__u32 payload; /* offset of its UDP header, with FRAGMENT_OF_MORE in a first fragment; 0 in a later one, or if no output needs it. In an
			  ICMP error about a connection of a capture: the place of the connection, with WANTS_FRAME */
};

#define FRAGMENT_OF_MORE 0x80000000U

#define NO_MESSAGE 0U
#define BY_ID	   0x80000000U /* in a message: an id that its answer repeats */

/* The result of a lookup: a place, marked if the packet opened it, or a reason to skip the packet, marked as a reason. */
#define PLACE	     0x1fffffffU
#define PLACE_OPENED 0x40000000U
#define NO_PLACE     0x80000000U
#define NO_ROOM	     0x80000100U

/* From this number of places on, a set is nearly full and new connections may use the second set. */
#define NEARLY_FULL 12

/* Parts of the hash: bits 32-63 the block, 24-31 the set in it, 20-23 the home, 4-19 the tag; again 32-39 the way to the second set. */
static __always_inline __u32 first_set(__u64 mixed)
{
	__u32 block = (mixed >> 32) * settings.blocks >> 32;

	return (block << settings.block_shift) + ((__u32)mixed >> 24 & settings.block_mask);
}

static __always_inline __u32 home_way(__u64 mixed)
{
	return mixed >> 20 & (UDP_TRACK_WAYS - 1);
}

static __always_inline __u64 tag_of(__u64 mixed)
{
	return (mixed >> 4 & 0xffff) | 1;
}

/* The xor of the first and the second set; 0 if a block has only one set. */
static __always_inline __u32 detour_of(__u64 mixed)
{
	return ((__u32)(mixed >> 32) | 1) & settings.block_mask & 0xff;
}

/* Whether the line is of the frame's connection, by the part of the tuple in the line: for IPv4 that is all of it. */
static __always_inline bool is_line(const struct udp_track_line *line, const struct frame *frame, const bool usual)
{
	if ((line->key[0] ^ frame->tuple.words[0]) | (line->key[1] ^ frame->tuple.words[1]))
		return false;
	return usual || !settings.per_interface || line->interface[0] == frame->slot + 1;
}

/* The rest of that. */
static __always_inline bool is_detail(const struct udp_track_detail *detail, const struct frame *frame)
{
	const __u64 *words = frame->tuple.words;

	return !((detail->rest[0] ^ words[2]) | (detail->rest[1] ^ words[3]) | (detail->rest[2] ^ words[4]));
}

/* The four tags of a word that are 0, as bits 0 to 3. Without a branch: the verifier would follow each pattern of tags. */
static __always_inline __u32 zero_tags(__u64 tags)
{
	const __u64 low = 0x7fff7fff7fff7fffULL;
	__u64 zeros = ~(((tags & low) + low) | tags | low) >> 15; /* bits 0, 16, 32, 48 */

	return zeros * (1ULL << 48 | 1ULL << 33 | 1ULL << 18 | 1ULL << 3) >> 48 & 15;
}

/* Not 0 if one of four tags is 0: then its lowest bit is in the first of them. */
static __always_inline __u64 has_zero_tag(__u64 tags)
{
	return (tags - 0x0001000100010001ULL) & ~tags & 0x8000800080008000ULL;
}

/* Which of the four that is. */
static __always_inline __u32 first_zero_tag(__u64 zeros)
{
	zeros &= -zeros;
	return (zeros >> 31 & 1) + (zeros >> 47 & 1) * 2 + (zeros >> 63) * 3;
}

/* Places of a set whose tag is `tag`, as bits. Most often there is none. */
static __always_inline __u32 tagged(const struct udp_track_set *set, __u64 tag)
{
	const volatile __u64 *words = (const volatile __u64 *)set->tags;

	tag *= 0x0001000100010001ULL;
	if (!(has_zero_tag(words[0] ^ tag) | has_zero_tag(words[1] ^ tag) | has_zero_tag(words[2] ^ tag) |
	      has_zero_tag(words[3] ^ tag)))
		return 0;
	return zero_tags(words[0] ^ tag) | zero_tags(words[1] ^ tag) << 4 | zero_tags(words[2] ^ tag) << 8 |
	       zero_tags(words[3] ^ tag) << 12;
}
_Static_assert(UDP_TRACK_WAYS == 16, "tagged() reads four words of tags");

/* How many of 16 bits are set. */
static __always_inline __u32 count_bits(__u32 bits)
{
	bits -= bits >> 1 & 0x5555;
	bits = (bits & 0x3333) + (bits >> 2 & 0x3333);
	bits = (bits + (bits >> 4)) & 0x0f0f;
	return (bits + (bits >> 8)) & 31;
}

/* The number of the lowest bit; 16 if there is none. */
static __always_inline __u32 lowest_bit(__u32 bits)
{
	return count_bits((bits - 1) & ~bits & 0xffff);
}

/*
 * The most places with the same tag that a lookup compares: the verifier follows each of them. In one of 2,000 sets, another connection
 * has the same tag; four of them in a set are not to be expected. A place after the fourth would not be found.
 */
#define LOOKS 4

/* The place of a tuple in a set; UDP_TRACK_WAYS if it has none there. */
static __always_inline __u32 find_way(const struct udp_track_set *set, const struct udp_track_details *rests,
				      const struct frame *frame, __u64 tag)
{
	__u32 candidates = tagged(set, tag);

	for (int i = 0; i < LOOKS; i++) {
		__u32 way = lowest_bit(candidates);

		if (way >= UDP_TRACK_WAYS)
			break;
		way &= UDP_TRACK_WAYS - 1;
		if (is_line(&set->lines[way], frame, false) && is_detail(&rests->details[way], frame))
			return way;
		candidates &= candidates - 1;
	}
	return UDP_TRACK_WAYS;
}

/* The line of a place. */
static __always_inline struct udp_track_line *line_at(__u32 place)
{
	__u32 index = place / UDP_TRACK_WAYS;
	struct udp_track_set *set = bpf_map_lookup_elem(&connections, &index);

	if (!set)
		return NULL;
	barrier_var(
		set); /* or clang adds to it before the check: "pointer arithmetic on map_value_or_null prohibited" */
	return &set->lines[place & (UDP_TRACK_WAYS - 1)];
}

static __always_inline struct udp_track_detail *detail_at(__u32 place)
{
	__u32 index = place / UDP_TRACK_WAYS;
	struct udp_track_details *rests = bpf_map_lookup_elem(&details, &index);

	if (!rests)
		return NULL;
	barrier_var(rests); /* as above */
	return &rests->details[place & (UDP_TRACK_WAYS - 1)];
}

static __always_inline struct udp_track_lock *lock_of(__u32 set)
{
	__u32 block = set >> settings.block_shift;

	return bpf_map_lookup_elem(&locks, &block);
}

/* How many places of a set are in use: never too few under the lock of the block. */
static __always_inline __u32 used(const struct udp_track_set *set)
{
	return set->opened - set->freed;
}

/* Whether connections whose first choice is this set may lie in their second one. */
static __always_inline bool has_detours(const struct udp_track_set *set)
{
	return set->detours_opened != set->detours_freed;
}

/* The place of a connection; NO_PLACE if it has none; NO_ROOM if it has none and there is no free place. */
static __noinline __u32 find_place(const struct frame *frame, __u64 mixed)
{
	__u32 index = first_set(mixed), detour = detour_of(mixed), second = index ^ detour, way;
	struct udp_track_set *one = bpf_map_lookup_elem(&connections, &index), *two;
	struct udp_track_details *rests = bpf_map_lookup_elem(&details, &index);

	if (!one || !rests)
		return NO_ROOM;
	way = find_way(one, rests, frame, tag_of(mixed));
	if (way < UDP_TRACK_WAYS)
		return index * UDP_TRACK_WAYS + way;
	if (!has_detours(one) && used(one) < UDP_TRACK_WAYS)
		return NO_PLACE;
	two = bpf_map_lookup_elem(&connections, &second);
	rests = bpf_map_lookup_elem(&details, &second);
	if (!two || !rests)
		return NO_ROOM;
	way = find_way(two, rests, frame, tag_of(mixed));
	if (way < UDP_TRACK_WAYS)
		return second * UDP_TRACK_WAYS + way;
	/* In a flood on a full table, this is all that a packet costs. */
	return used(one) < UDP_TRACK_WAYS || used(two) < UDP_TRACK_WAYS ? NO_PLACE : NO_ROOM;
}

/* The TOS byte or traffic class in what a sender asks of routers, which has 16 bits. */
static __always_inline __u32 class_of(__u32 handling)
{
	return handling >> HANDLING_CLASS_SHIFT;
}

/* The side whose packets are requests. */
static __always_inline __u32 asks(__u8 sides)
{
	return sides & UDP_TRACK_ASKS ? 1 : 0;
}

#define PAUSE_SHIFT 2 /* of a side's bit in `attention`: its packets that come in a later jiffy than the one before */
#define COPY_SHIFT  4 /* of the same: the payload or the frame of its packets is wanted */
#define SPINS	    (1 << UDP_TRACK_SPINNING_BIT) /* in `attention`, of both sides: QUIC's spin bit is looked at */
#define FRAMES	    128 /* in `attention`, for both sides: their frames are wanted, and COPY_SHIFT of both is set */

/* What to do with a packet beside counting it, with the place of its connection. */
#define WANTS_PAYLOAD 0x80000000U
#define WANTS_FRAME   0x40000000U
#define WANTS_SPIN    0x20000000U /* read its spin bit; not together with WANTS_PAYLOAD */

/* Whether an output needs payloads: copied to user space, or read here. */
static __always_inline bool has_payloads(void)
{
	return settings.payloads || settings.dns;
}

/* Whether spin bits are read: only of connections known as QUIC, so first datagrams are needed. */
static __always_inline bool has_spins(void)
{
	return settings.payloads == UDP_TRACK_ALL_PAYLOADS;
}

/* Whether the spin bits of this connection are read. */
static __always_inline bool is_spinning(const struct udp_track_line *line)
{
	return has_spins() && line->attention & SPINS;
}

/* Whether a packet of this side changes more than counts. */
static __always_inline bool changes_state(const struct udp_track_line *line, __u32 side, __u32 now)
{
	__u32 attention = line->attention >> side;

	return attention & 1 || (attention & 1 << PAUSE_SHIFT && line->last != now);
}

/* Whether a packet of this side needs more than counts: it changes more, or its payload or frame is copied. */
static __always_inline bool wants_attention(const struct udp_track_line *line, __u32 side, __u32 now)
{
	__u32 attention = line->attention >> side;

	return attention & (1 | 1 << COPY_SHIFT) || (attention & 1 << PAUSE_SHIFT && line->last != now);
}

#define DNS_PORT   53
#define MDNS_PORT  5353 /* RFC 6762 */
#define LLMNR_PORT 5355 /* RFC 4795 */

/* 1 or 0, without a branch: the verifier would follow each of many. */
static __always_inline __u64 is_dns_port(__be16 port)
{
	__u64 dns = port ^ bpf_htons(DNS_PORT), mdns = port ^ bpf_htons(MDNS_PORT),
	      llmnr = port ^ bpf_htons(LLMNR_PORT);

	barrier_var(dns); /* or clang compares after all */
	barrier_var(mdns);
	barrier_var(llmnr);
	return ((dns - 1) | (mdns - 1) | (llmnr - 1)) >> 63;
}

/* Ports of a tuple's ends, network order, from its first two words. */
static __always_inline __be16 lower_port(__u64 first)
{
	return first;
}

static __always_inline __be16 higher_port(__u64 first, __u64 second)
{
	__u64 ipv6 = -(first >> UDP_TRACK_IPV6_BIT);

	return (first >> 16 & ipv6) | (second & ~ipv6);
}

/* Whether a connection is DNS, mDNS or LLMNR, by the first two words of its tuple. */
static __always_inline bool is_dns(__u64 first, __u64 second)
{
	__u64 dns = is_dns_port(lower_port(first)) | is_dns_port(higher_port(first, second));

	barrier_var(dns);
	return dns;
}

/* The bits of `attention` for copies of a new connection's packets: for both sides, or none. */
static __always_inline __u8 first_copies(const struct udp_track_tuple *tuple)
{
	if (settings.frame_bytes) /* until user space tells that no capture wants them */
		return FRAMES | UDP_TRACK_SEEN << COPY_SHIFT;
	if (!has_payloads())
		return 0;
	if (settings.payloads != UDP_TRACK_ALL_PAYLOADS && !is_dns(tuple->words[0], tuple->words[1]))
		return 0;
	return UDP_TRACK_SEEN << COPY_SHIFT;
}

#define FIRST_DATAGRAMS 4

/* How many packets a side has sent so far. Other CPUs may count at the same time. */
static __always_inline __u32 packets_of(const struct udp_track_line *line, __u32 side)
{
	return *(volatile __u64 *)&line->counted[side & 1] >> UDP_TRACK_PACKET_SHIFT;
}

/* Whether the payload of this side's next packet must be copied or read. */
static __always_inline bool is_payload_due(const struct udp_track_line *line, __u32 side)
{
	if (!has_payloads())
		return false;
	return is_dns(line->key[0], line->key[1]) ||
	       (settings.payloads == UDP_TRACK_ALL_PAYLOADS && packets_of(line, side) < FIRST_DATAGRAMS);
}

/* Whether a capture wants the frames of a connection. */
static __always_inline bool wants_frames(const struct udp_track_line *line)
{
	return settings.frame_bytes && line->attention & FRAMES;
}

/* What to do with the next packet of this side beside counting it: WANTS_PAYLOAD or WANTS_SPIN, and WANTS_FRAME. */
static __always_inline __u32 wants_more(const struct udp_track_line *line, __u32 side)
{
	__u32 spin = is_spinning(line) ? WANTS_SPIN : 0;

	if (wants_frames(line))
		return WANTS_FRAME | (is_payload_due(line, side) ? WANTS_PAYLOAD : spin);
	return has_payloads() && line->attention >> side & 1 << COPY_SHIFT ? WANTS_PAYLOAD : spin;
}

#define SILENT_PACKETS 10

/* A side that has sent SILENT_PACKETS packets without ids and without any answer: it only sends, and its packets are no requests. */
static __always_inline bool is_silent(const struct udp_track_line *line, __u32 side, __u32 message)
{
	return line->state == UDP_TRACK_ESTABLISHED && !(message & BY_ID) &&
	       line->counted[side] >= (__u64)SILENT_PACKETS << UDP_TRACK_PACKET_SHIFT;
}

/* The bits of `attention` (struct udp_track_line): the sides whose packets change more than counts. `message`: of the latest request. */
static __always_inline __u8 attention_of(const struct udp_track_line *line, __u32 message)
{
	__u8 sides = line->sides, asking = 1 << asks(sides), attention = ~sides & UDP_TRACK_SEEN;

	if (settings.response_times) {
		if (message & BY_ID)
			attention = UDP_TRACK_SEEN;
		else if (sides & UDP_TRACK_WAITING)
			attention |= (asking ^ UDP_TRACK_SEEN) | asking << PAUSE_SHIFT;
		else if (!is_silent(line, asks(sides), message))
			attention |= asking;
	}
	/* An UNREACHABLE connection may continue; a REPLIED one becomes ASSURED. */
	if (line->state == UDP_TRACK_UNREACHABLE || line->state == UDP_TRACK_REPLIED)
		attention = UDP_TRACK_SEEN;
	if (has_payloads() || settings.frame_bytes) /* payload.h and amend.h clear these bits */
		attention |= line->attention & (UDP_TRACK_SEEN << COPY_SHIFT | FRAMES);
	if (has_spins())
		attention |= line->attention & SPINS;
	return attention;
}

/*
 * Opens a place for a tuple that has none: FREE -> LIVE. If another CPU was faster, returns that place; NO_PLACE if both sets are full.
 * It does not count the packet. drops.bpf.c opens no place.
 */
static __noinline __attribute__((unused)) __u32 open_place(const struct frame *frame, __u64 mixed)
{
	__u32 index = first_set(mixed), detour = detour_of(mixed), second = index ^ detour, place = NO_PLACE;
	struct udp_track_set *one = bpf_map_lookup_elem(&connections, &index), *set = one, *two;
	struct udp_track_details *rests = bpf_map_lookup_elem(&details, &index), *rests_two;
	struct udp_track_lock *lock = lock_of(index);
	__u64 tag = tag_of(mixed), id, ns;
	__u32 free, way, now = now_jiffies();

	two = bpf_map_lookup_elem(&connections, &second);
	rests_two = bpf_map_lookup_elem(&details, &second);
	if (!frame || !one || !two || !rests || !rests_two || !lock)
		return NO_PLACE;
	id = connection_id(&frame->tuple, frame->slot);
	ns = now_ns();

	bpf_spin_lock(&lock->lock);
	way = find_way(one, rests, frame, tag);
	if (way < UDP_TRACK_WAYS) {
		place = index * UDP_TRACK_WAYS + way;
		goto unlock;
	}
	if (has_detours(one)) {
		way = find_way(two, rests_two, frame, tag);
		if (way < UDP_TRACK_WAYS) {
			place = second * UDP_TRACK_WAYS + way;
			goto unlock;
		}
	}
	if (detour && used(one) >= NEARLY_FULL && used(two) < used(one)) {
		set = two;
		rests = rests_two;
		index = second;
	}
	free = tagged(set, 0);
	if (free) {
		__u32 home = home_way(mixed), side = frame->side & 1;
		struct udp_track_detail *detail;
		struct udp_track_line *line;

		way = free >> home & 1 ? home : lowest_bit(free);
		way &= UDP_TRACK_WAYS - 1;
		line = &set->lines[way];
		detail = &rests->details[way];
		line->first = line->last = now;
		line->interface[side] = frame->slot + 1;
		if (settings.per_interface)
			line->interface[!side] = frame->slot + 1;
		line->state = UDP_TRACK_ESTABLISHED;
		line->sides = 1 << side | (side ? UDP_TRACK_ORIGIN | UDP_TRACK_ASKS : 0);
		if (settings.response_times) {
			line->sides |= UDP_TRACK_WAITING;
			line->open[0] = 1;
			line->epoch = ns >> UDP_TRACK_EPOCH_SHIFT;
		}
		line->attention = attention_of(line, frame->message) | first_copies(&frame->tuple);
		detail->message = frame->message;
		detail->rest[0] = frame->tuple.words[2];
		detail->rest[1] = frame->tuple.words[3];
		detail->rest[2] = frame->tuple.words[4];
		line->id = id;
		detail->first_ns = detail->waiting_ns = ns;
		line->ttl[side] = frame->handling;
		detail->folded[side] = class_of(frame->handling);
		if (set != one) {
			line->detour = detour;
			one->detours_opened++;
		}
		set->tags[way] = tag;
		set->opened++;
		line->key[1] = frame->tuple.words[1];
		*(volatile __u64 *)&line->key[0] = frame->tuple.words[0];
		place = PLACE_OPENED | (index * UDP_TRACK_WAYS + way);
	}
unlock:
	bpf_spin_unlock(&lock->lock);
	return place;
}

#endif

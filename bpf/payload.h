/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Payload for user space, which tells from it what a connection speaks and how hosts are called: the first datagrams of a connection,
 * each way, and each message of DNS, mDNS and LLMNR. Nothing of it is there when the settings have it off.
 *
 * Whose datagrams are wanted stands in `attention` of their line: an established connection is asked nothing more. Only datagrams that
 * were counted come here, after that.
 *
 * A budget for each CPU, jiffy, direction and kind of datagram keeps a busy server cheap, and what is not read is counted. Kinds have
 * budgets of their own, so that a flood of one does not starve another: what anybody can send, new connections and answers that nobody asked
 * for, takes nothing from queries, nor from answers in a connection whose other side was seen; and what comes in takes nothing from
 * what goes out. So a forged answer only costs others of its kind, unless it hits a connection that asks: it then is one of many, and
 * user space takes but one answer for a question, by connection, id and question, from the other side (src/names/).
 *
 * In a replay nothing is skipped for time: user space empties the ring before it is full.
 *
 * What DNS messages say in their headers is counted here, with settings.dns, of each of them and whatever the budget.
 */
#ifndef PAYLOAD_H
#define PAYLOAD_H

#define PAYLOAD_BUDGET	 32 /* datagrams of a kind that a CPU reads in a jiffy, each way: 3,200 to 32,000 a second */
#define SEGMENTS	 64 /* of a merged packet that are read */
#define MAX_PLAIN_OFFSET 127 /* of a payload: at least Ethernet, a tag, IPv6 and UDP; the verifier needs a bound */
#define NO_LENGTH	 0xffffffffU
#define DNS_HEADER_BYTES 12
#define DNS_RESPONSE	 0x8000
#define DNS_TRUNCATED	 0x0200
#define DNS_CODE	 0x000f

/* A DNS message's beginning (RFC 1035 4.1.1), network order. */
struct dns_start {
	__be16 id, flags;
};

/* A datagram that was counted. */
struct datagram {
	__u32 offset; /* of its payload in the frame */
	__u32 length; /* of that */
	__u32 place;
	__u32 side;
	__u32 direction;
	__u32 ordinal;
	__u32 ifindex;
};

static __always_inline struct udp_track_payload_budget *find_budget(__u32 direction)
{
	struct udp_track_payload_budget *budget = bpf_map_lookup_elem(&payload_budgets, &direction);
	__u32 now = bpf_jiffies64();

	if (budget && budget->jiffy != now) {
		budget->jiffy = now;
		for (int i = 0; i < UDP_TRACK_PAYLOAD_KINDS; i++)
			budget->left[i] = PAYLOAD_BUDGET;
	}
	return budget;
}

/* So many datagrams are not read. A global function: the verifier checks it once, and forgets from where it was called. */
__noinline int udp_track_unread(__u32 direction, __u32 reason, __u32 datagrams)
{
	struct udp_track_payload_budget *budget = find_budget(direction);

	if (!budget || reason >= UDP_TRACK_UNREAD_REASONS)
		return 0;
	if (settings.realtime)
		__sync_fetch_and_add(&budget->unread[reason], datagrams);
	else
		budget->unread[reason] += datagrams;
	return 0;
}

/* Whether a datagram of a kind may be read: then it is taken from the budget. The same. */
__noinline int udp_track_may_read(__u32 direction, __u32 kind)
{
	struct udp_track_payload_budget *budget = find_budget(direction);

	if (!budget || kind >= UDP_TRACK_PAYLOAD_KINDS || !budget->left[kind])
		return 0;
	budget->left[kind]--;
	return 1;
}

/* The port at the end of a line that this side is. */
static __always_inline __be16 port_of(const struct udp_track_line *line, __u32 side)
{
	return side & 1 ? higher_port(line->key[0], line->key[1]) : lower_port(line->key[0]);
}

#define NO_FLAGS (-1)

/* The flags of a DNS message at `offset`, host order; NO_FLAGS where it has no whole header. */
static __always_inline __s32 dns_flags(void *ctx, const bool xdp, __u32 offset, __u32 length)
{
	struct dns_start dns;

	if (length < DNS_HEADER_BYTES || load_bytes(ctx, xdp, offset, &dns, sizeof(dns)))
		return NO_FLAGS;
	return bpf_ntohs(dns.flags);
}

/* DNS messages with these flags, or with no header. A global function: the verifier checks it once. */
__noinline int udp_track_count_dns(__u32 place, __s32 flags, __u32 messages)
{
	struct udp_track_dns_counts *counts = bpf_map_lookup_elem(&dns_counts, &place);
	__u32 code = flags & DNS_CODE;

	if (!settings.dns || !counts)
		return 0;
	if (flags == NO_FLAGS) {
		__sync_fetch_and_add(&counts->unread, messages);
	} else if (!(flags & DNS_RESPONSE)) {
		__sync_fetch_and_add(&counts->queries, messages);
	} else {
		if (code > UDP_TRACK_DNS_REFUSED)
			code = UDP_TRACK_DNS_OTHER;
		__sync_fetch_and_add(&counts->codes[code], messages);
		if (flags & DNS_TRUNCATED)
			__sync_fetch_and_add(&counts->truncated, messages);
	}
	return 0;
}

/* Which budget a datagram of a DNS connection takes from. */
static __always_inline __u32 dns_kind(__s32 flags, __u32 side, const struct udp_track_line *line)
{
	bool is_answer = flags & DNS_RESPONSE;

	if (flags == NO_FLAGS || !is_dns_port(port_of(line, is_answer ? side : !side)))
		return UDP_TRACK_FIRST_PAYLOAD;
	if (!is_answer)
		return UDP_TRACK_DNS_QUERY;
	return (line->sides & UDP_TRACK_SEEN) == UDP_TRACK_SEEN ? UDP_TRACK_DNS_ANSWER : UDP_TRACK_FIRST_PAYLOAD;
}

/* The record of a datagram; `room` is how many bytes of payload it has, one of three, as the ring buffer wants it constant. */
static __always_inline void send_payload(void *ctx, const bool xdp, const struct datagram *datagram, __u64 bytes,
					 const __u32 room)
{
	struct udp_track_line *line = line_at(datagram->place);
	struct udp_track_payload *record;

	if (!line)
		return;
	record = bpf_ringbuf_reserve(&payloads, sizeof(*record) + room, 0);
	if (!record) {
		udp_track_unread(datagram->direction, UDP_TRACK_UNREAD_RING_FULL, 1);
		return;
	}
	record->connection = line->id;
	record->ns = now_ns();
	record->place = datagram->place;
	record->ifindex = datagram->ifindex;
	record->ordinal = datagram->ordinal;
	record->length = datagram->length;
	record->bytes = bytes;
	record->source_port = bpf_ntohs(port_of(line, datagram->side));
	record->destination_port = bpf_ntohs(port_of(line, !datagram->side));
	record->direction = datagram->direction;
	record->side = datagram->side;
	record->from_originator = datagram->side == !!(line->sides & UDP_TRACK_ORIGIN);
	record->__pad = 0;
	/*
	 * Each bound by itself, or clang asks for both of a copy. Signed, as Linux 5.10 learns nothing from "not 0" ("R3 min value is outside
	 * of the allowed memory range").
	 */
	barrier_var(bytes);
	if ((__s64)bytes < 1) {
		bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
		return;
	}
	barrier_var(bytes);
	if (bytes > room || load_bytes(ctx, xdp, datagram->offset, record + 1, bytes)) {
		udp_track_unread(datagram->direction, UDP_TRACK_UNREAD_OUT_OF_REACH, 1);
		bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
		return;
	}
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
}

/* What the capture has of a payload, and may have of more behind it. */
static __always_inline __u64 captured_bytes(const struct datagram *datagram)
{
	return datagram->offset < replay.captured ? replay.captured - datagram->offset : 0;
}

/* A datagram of a connection whose payload is wanted. */
static __always_inline void read_datagram(void *ctx, const bool xdp, const bool replayed,
					  const struct datagram *datagram)
{
	struct udp_track_line *line = line_at(datagram->place);
	__u32 kind = UDP_TRACK_FIRST_PAYLOAD;
	__u64 bytes = datagram->length;
	bool dns;

	if (!line)
		return;
	dns = is_dns(line->key[0], line->key[1]);
	if (dns) {
		__s32 flags = dns_flags(ctx, xdp, datagram->offset, datagram->length);

		udp_track_count_dns(datagram->place, flags, 1);
		kind = dns_kind(flags, datagram->side, line);
	}
	if (!settings.payloads)
		return;
	if (bytes == NO_LENGTH) {
		udp_track_unread(datagram->direction, UDP_TRACK_UNREAD_OUT_OF_REACH, 1);
		return;
	}
	if (!replayed && !udp_track_may_read(datagram->direction, kind)) {
		udp_track_unread(datagram->direction,
				 dns ? UDP_TRACK_UNREAD_DNS_OVER_BUDGET : UDP_TRACK_UNREAD_OVER_BUDGET, 1);
		return;
	}
	if (dns && bytes > UDP_TRACK_LONG_PAYLOAD_BYTES)
		udp_track_unread(datagram->direction, UDP_TRACK_UNREAD_TOO_LONG, 1);
	if (bytes > UDP_TRACK_LONG_PAYLOAD_BYTES || (bytes > UDP_TRACK_PAYLOAD_BYTES && !dns))
		bytes = UDP_TRACK_PAYLOAD_BYTES;
	/* User space tells what can be read of it. */
	if (replayed && bytes > captured_bytes(datagram))
		bytes = captured_bytes(datagram);
	if (bytes <= UDP_TRACK_SHORT_PAYLOAD_BYTES)
		send_payload(ctx, xdp, datagram, bytes, UDP_TRACK_SHORT_PAYLOAD_BYTES);
	else if (bytes <= UDP_TRACK_PAYLOAD_BYTES)
		send_payload(ctx, xdp, datagram, bytes, UDP_TRACK_PAYLOAD_BYTES);
	else
		send_payload(ctx, xdp, datagram, bytes, UDP_TRACK_LONG_PAYLOAD_BYTES);
}

/* How long the payload of a UDP header is, by itself; NO_LENGTH where it is not there. */
static __always_inline __u32 payload_bytes(void *ctx, const bool xdp, __u32 offset)
{
	struct udp_header udp;
	__u32 length;

	if (load_bytes(ctx, xdp, offset, &udp, sizeof(udp)))
		return NO_LENGTH;
	length = bpf_ntohs(udp.len);
	return length < sizeof(udp) ? NO_LENGTH : length - sizeof(udp);
}

/* No more of this side is wanted, once so much of it was. */
static __always_inline void end_payload(__u32 place, __u32 side)
{
	struct udp_track_line *line = line_at(place);
	struct udp_track_lock *lock = lock_of(place / UDP_TRACK_WAYS);

	side &= 1;
	if (!line || !lock || wants_frames(line) || is_dns(line->key[0], line->key[1]) ||
	    packets_of(line, side) < FIRST_DATAGRAMS)
		return;
	bpf_spin_lock(&lock->lock);
	if (!wants_frames(line))
		line->attention &= ~(1 << COPY_SHIFT << side);
	bpf_spin_unlock(&lock->lock);
}

/* A fragment: the first one of a DNS message has its header. */
static __always_inline void skip_fragment(void *ctx, const bool xdp, __u32 offset, __u32 place, __u32 direction)
{
	struct udp_track_line *line = line_at(place);

	if (!line || !(offset & FRAGMENT_OF_MORE))
		return;
	offset = (offset & ~FRAGMENT_OF_MORE) + sizeof(struct udp_header);
	if (settings.dns && is_dns(line->key[0], line->key[1]))
		udp_track_count_dns(place, dns_flags(ctx, xdp, offset, DNS_HEADER_BYTES), 1);
	if (settings.payloads)
		udp_track_unread(direction, UDP_TRACK_UNREAD_FRAGMENTS, 1);
}

/* The first byte of a payload to spin.h. */
static __always_inline void see_spin(void *ctx, const bool xdp, __u32 offset, __u32 place, __u32 side)
{
	__u8 first;

	if (!load_bytes(ctx, xdp, offset, &first, sizeof(first)))
		udp_track_spin(place & PLACE, side & 1, first);
}

/* The same of a plain frame. The byte is read where it is, not copied, if it is in the linear part of the frame. */
static __always_inline int see_plain_spin(void *ctx, const bool xdp, const __u8 *start, const __u8 *end, __u32 offset,
					  __u32 place, __u32 side)
{
	if (offset <= MAX_PLAIN_OFFSET && start + offset + 1 <= end)
		return udp_track_spin(place & PLACE, side & 1, start[offset]);
	see_spin(ctx, xdp, offset, place, side);
	return 0;
}

/* A plain packet whose connection spins. `offset`: of its payload. Global functions: the verifier checks each once. */
__noinline int udp_track_spin_xdp(struct xdp_md *ctx, __u32 offset, __u32 place, __u32 side)
{
	return see_plain_spin(ctx, true, (void *)(long)ctx->data, (void *)(long)ctx->data_end, offset, place, side);
}

__noinline int udp_track_spin_skb(struct __sk_buff *ctx, __u32 offset, __u32 place, __u32 side)
{
	return see_plain_spin(ctx, false, (void *)(long)ctx->data, (void *)(long)ctx->data_end, offset, place, side);
}

/*
 * A packet that was counted, of a connection whose payload is wanted, or its spin bit: `place` is that with what is wanted. `offset`: of
 * its UDP header; with FRAGMENT_OF_MORE for a first fragment, 0 for a later one. Global functions: the verifier checks each once, not once for each way in which a frame may have been
 * parsed.
 */
__noinline int udp_track_payload_xdp(struct xdp_md *ctx, __u32 offset, __u32 place, __u32 side)
{
	struct datagram datagram = {
		.offset = offset + sizeof(struct udp_header),
		.place = place & PLACE,
		.side = side & 1,
		.direction = UDP_TRACK_INGRESS,
		.ifindex = ctx->ingress_ifindex,
	};
	struct udp_track_line *line = line_at(datagram.place);

	if (!line)
		return 0;
	if (has_spins() && place & WANTS_SPIN) {
		if (offset && !(offset & FRAGMENT_OF_MORE))
			see_spin(ctx, true, datagram.offset, place, side);
		return 0;
	}
	end_payload(datagram.place, datagram.side);
	if (!offset || offset & FRAGMENT_OF_MORE) {
		skip_fragment(ctx, true, offset, datagram.place, UDP_TRACK_INGRESS);
		return 0;
	}
	datagram.ordinal = packets_of(line, datagram.side);
	datagram.length = payload_bytes(ctx, true, offset);
	read_datagram(ctx, true, false, &datagram);
	return 0;
}

/* The same of a frame of a capture. */
__noinline int udp_track_payload_replay(struct __sk_buff *ctx, __u32 offset, __u32 place, __u32 side)
{
	struct datagram datagram = {
		.offset = offset + sizeof(struct udp_header),
		.place = place & PLACE,
		.side = side & 1,
		.direction = replay.direction & 1,
		.ifindex = replay.ifindex,
	};
	struct udp_track_line *line = line_at(datagram.place);

	if (!line)
		return 0;
	if (has_spins() && place & WANTS_SPIN) {
		if (offset && !(offset & FRAGMENT_OF_MORE) && captured_bytes(&datagram))
			see_spin(ctx, false, datagram.offset, place, side);
		return 0;
	}
	end_payload(datagram.place, datagram.side);
	if (!offset || offset & FRAGMENT_OF_MORE) {
		skip_fragment(ctx, false, offset, datagram.place, datagram.direction);
		return 0;
	}
	datagram.ordinal = packets_of(line, datagram.side);
	datagram.length = payload_bytes(ctx, false, offset);
	read_datagram(ctx, false, true, &datagram);
	return 0;
}

#define SIDE	  1U /* in `what` */
#define DIRECTION 2U
#define ORDINAL	  2 /* its shift */

/* One datagram of a socket buffer: checked once, not once for each of many that were merged. */
__noinline int udp_track_datagram_skb(struct __sk_buff *ctx, __u32 offset, __u32 length, __u32 place, __u32 what)
{
	struct datagram datagram = {
		.offset = offset,
		.length = length,
		.place = place & PLACE,
		.side = what & SIDE,
		.direction = what & DIRECTION ? UDP_TRACK_EGRESS : UDP_TRACK_INGRESS,
		.ordinal = what >> ORDINAL,
		.ifindex = ctx->ifindex,
	};

	read_datagram(ctx, false, false, &datagram);
	return 0;
}

/*
 * What the kernel has merged, or will split, is several datagrams: `packets` of them. `what` has no ordinal yet. Nothing follows the
 * loop: the verifier would look at it anew after each number of rounds.
 */
__noinline int udp_track_payload_skb(struct __sk_buff *ctx, __u32 offset, __u32 place, __u32 what, __u32 packets)
{
	__u32 segment = ctx->gso_size, length, at = 0, ordinal, wanted = packets;
	struct udp_track_line *line = line_at(place & PLACE);

	if (!line)
		return 0;
	if (has_spins() && place & WANTS_SPIN) {
		/* What was merged, or will be split, was sent at about the same time: its last datagram has the bit that counts. */
		if (offset && !(offset & FRAGMENT_OF_MORE))
			see_spin(ctx, false, offset + sizeof(struct udp_header) + (packets - 1) * segment, place,
				 what & SIDE);
		return 0;
	}
	end_payload(place & PLACE, what & SIDE);
	if (!offset || offset & FRAGMENT_OF_MORE) {
		skip_fragment(ctx, false, offset, place & PLACE, what & DIRECTION ? 1 : 0);
		return 0;
	}
	ordinal = packets_of(line, what & SIDE) - packets + 1;
	if (!is_dns(line->key[0], line->key[1])) {
		wanted = ordinal < FIRST_DATAGRAMS ? FIRST_DATAGRAMS + 1 - ordinal : 1;
	} else if (packets > SEGMENTS) {
		udp_track_count_dns(place & PLACE, NO_FLAGS, packets - SEGMENTS);
		if (settings.payloads)
			udp_track_unread(what & DIRECTION ? 1 : 0, UDP_TRACK_UNREAD_MERGED, packets - SEGMENTS);
	}
	if (wanted > packets)
		wanted = packets;
	length = payload_bytes(ctx, false, offset);
	offset += sizeof(struct udp_header);
	if (!segment || segment > length)
		segment = length;
	for (__u32 i = 0; i < SEGMENTS && i < wanted; i++) {
		__u32 left = length - at;

		udp_track_datagram_skb(ctx, offset + at, left < segment ? left : segment, place,
				       (what & (SIDE | DIRECTION)) | (ordinal + i) << ORDINAL);
		at += segment;
	}
	return 0;
}

#endif

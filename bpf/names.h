/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * DNS for user space, which takes host names from it; not there at all when settings.names is 0.
 *
 * Queries, and their answers: only of datagrams that were counted and are whole, and an answer only if its query passed
 * before, from the other side of the same connection and with the same DNS id, once. So a flood of forged answers is not
 * copied, and user space sees whether an answer is to the question that was asked, and which way each of them went. Names are
 * best effort: a budget for each CPU and jiffy keeps a busy server cheap, and what is not read is counted apart from the books.
 */
#ifndef NAMES_H
#define NAMES_H

#define DNS_PORT      53
#define DNS_BUDGET    16 /* messages a CPU reads in a jiffy: 1,600 to 16,000 a second */
#define DNS_RESPONSE  0x8000
#define DNS_OPCODE    0x7800
#define DNS_TRUNCATED 0x0200
#define DNS_ERROR     0x000f

/* A datagram's beginning: UDP and DNS header (RFC 1035 4.1.1), network order. */
struct dns_start {
	struct udp_header udp;
	__be16 id, flags, questions, answers, authorities, additionals;
};

static __always_inline bool is_dns(const struct packet *p)
{
	return p->source_port == bpf_htons(DNS_PORT) || p->destination_port == bpf_htons(DNS_PORT);
}

/* This CPU's budget, if anything is left of it. */
static __always_inline struct udp_track_dns_budget *find_dns_budget(void)
{
	struct udp_track_dns_budget *budget;
	__u32 now = bpf_jiffies64(), zero = 0;

	budget = bpf_map_lookup_elem(&dns_budgets, &zero);
	if (!budget)
		return NULL;
	if (budget->jiffy != now) {
		budget->jiffy = now;
		budget->left = DNS_BUDGET;
	}
	if (!budget->left) {
		budget->unread++;
		return NULL;
	}
	return budget;
}

/* Asked of plain frames, which go the long way only if they are read. */
static __noinline int has_dns_budget(void)
{
	return find_dns_budget() != NULL;
}

static __always_inline void remember_query(struct dns_query *place, __u64 connection, __u8 side, __u16 id)
{
	__u32 at;

	if (place->connection != connection || place->side != side) {
		place->connection = connection;
		place->side = side;
		place->waiting = 0;
		place->next = 0;
	}
	at = place->next & (DNS_WAITING - 1);
	place->ids[at] = id;
	place->waiting |= 1 << at;
	place->next = at + 1;
}

/* Whether a query waits for this answer: from now on it waits no more. */
static __always_inline bool take_query(struct dns_query *place, __u64 connection, __u8 side, __u16 id)
{
	if (place->connection != connection || place->side == side)
		return false;
#pragma unroll
	for (int i = 0; i < DNS_WAITING; i++) {
		if (place->waiting >> i & 1 && place->ids[i] == id) {
			place->waiting &= ~(1 << i);
			return true;
		}
	}
	return false;
}

/* Remembers a query, looks whether one waits for an answer; how many bytes of the message are to be copied, 0 = none. */
static __noinline __u64 judge_dns(const struct dns_start *dns, __u64 connection, __u32 side)
{
	struct dns_query *place;
	__u32 index, bytes;

	if (!dns)
		return 0;
	bytes = bpf_ntohs(dns->udp.len);
	if (bytes < sizeof(*dns))
		return 0;
	index = (__u32)(connection ^ connection >> 32) & (UDP_TRACK_DNS_QUERIES - 1);
	place = bpf_map_lookup_elem(&dns_queries, &index);
	if (!place)
		return 0;
	if (!(dns->flags & bpf_htons(DNS_RESPONSE))) {
		if (dns->udp.dest != bpf_htons(DNS_PORT) || dns->flags & bpf_htons(DNS_OPCODE) ||
		    dns->questions != bpf_htons(1))
			return 0;
		remember_query(place, connection, side, dns->id);
		return bytes - sizeof(dns->udp);
	}
	if (dns->udp.source != bpf_htons(DNS_PORT) || !take_query(place, connection, side, dns->id))
		return 0;
	if (dns->flags & bpf_htons(DNS_OPCODE | DNS_TRUNCATED | DNS_ERROR) || dns->questions != bpf_htons(1) ||
	    !dns->answers)
		return 0;
	return bytes - sizeof(dns->udp);
}

/* A message that is to be copied, and where it lies in its frame. */
struct dns_message {
	__u64 connection;
	__u32 ifindex;
	__u32 offset;
	__u32 bytes;
	__u8 direction;
};

/* Both records have their message at the same place; `room` is the size of one of them. */
_Static_assert(__builtin_offsetof(struct udp_track_dns, message) ==
		       __builtin_offsetof(struct udp_track_long_dns, message),
	       "send_dns()");
static __always_inline void send_dns(void *ctx, const bool xdp, const struct dns_message *message, const __u32 room,
				     struct udp_track_dns_budget *budget)
{
	struct udp_track_long_dns *record = bpf_ringbuf_reserve(&dns_messages, room, 0);

	if (!record) {
		budget->lost++;
		return;
	}
	record->connection = message->connection;
	record->ifindex = message->ifindex;
	record->direction = message->direction;
	record->bytes = message->bytes;
	if (load_bytes(ctx, xdp, message->offset, record->message, message->bytes))
		bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
	else
		bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
}

/*
 * Reads a datagram that was counted, whose UDP header is at `message->offset`. The least length is said in so many words: Linux
 * 5.10 learns nothing from "not 0" ("R3 min value is outside of the allowed memory range").
 */
static __always_inline void read_dns(void *ctx, const bool xdp, struct dns_message *message, __u32 side)
{
	struct udp_track_dns_budget *budget = find_dns_budget();
	struct dns_start dns;
	__u64 bytes;

	if (!budget)
		return;
	budget->left--;
	if (load_bytes(ctx, xdp, message->offset, &dns, sizeof(dns)))
		return;
	bytes = judge_dns(&dns, message->connection, side);
	if (bytes < sizeof(dns) - sizeof(dns.udp))
		return;
	message->offset += sizeof(dns.udp);
	message->bytes = bytes;
	if (bytes <= UDP_TRACK_DNS_BYTES)
		send_dns(ctx, xdp, message, sizeof(struct udp_track_dns), budget);
	else if (bytes <= UDP_TRACK_LONG_DNS_BYTES)
		send_dns(ctx, xdp, message, sizeof(struct udp_track_long_dns), budget);
	else
		budget->too_long++;
}

/* Global functions: the verifier checks each once, not once for each way in which a frame may have been parsed. */
__noinline int udp_track_read_xdp(struct xdp_md *ctx, __u32 offset, __u64 mixed, __u32 side)
{
	struct dns_message message = { mixed, ctx->ingress_ifindex, offset, 0, UDP_TRACK_INGRESS };

	read_dns(ctx, true, &message, side);
	return 0;
}

/* What the kernel has merged, or will split, is several datagrams. */
__noinline int udp_track_read_skb(struct __sk_buff *ctx, __u32 offset, __u64 mixed, __u32 side, __u32 direction)
{
	struct dns_message message = { mixed, ctx->ifindex, offset, 0, direction };

	if (!ctx->gso_size)
		read_dns(ctx, false, &message, side);
	return 0;
}

#endif

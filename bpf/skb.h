/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What TC sees: socket buffers, which may be several packets of the wire and have headers outside their linear part. */
#ifndef SKB_H
#define SKB_H

#define PULL_BYTES 512 /* more than the longest chain of headers that is of use */

/* Bytes of the headers that each segment of a GSO super-packet repeats, link header and in-frame tags included. */
static __always_inline __u32 repeated_bytes(const struct cursor *c, const struct packet *p, int outcome)
{
	struct tcphdr *tcp = c->position;

	if (outcome == PARSED) /* the cursor is on the UDP header */
		return cursor_offset(c) + sizeof(struct udp_header);
	if (p->protocol == IPPROTO_TCP && (void *)(tcp + 1) <= c->end)
		return cursor_offset(c) + tcp->doff * 4;
	return cursor_offset(c);
}

/* What a socket buffer says of itself, read at once: clang would else share the address of a field between branches, and the verifier
 * refuses ("dereference of modified ctx ptr"). */
struct buffer {
	__u32 bytes;
	__u32 segment_bytes; /* of a GSO super-packet; else 0 */
	__u32 segments;
	__u32 vlan_present;
	__u32 vlan_tci;
};

static __always_inline struct buffer read_buffer(const struct __sk_buff *ctx)
{
	struct buffer buffer = {
		.bytes = ctx->len,
		.segment_bytes = ctx->gso_size,
		.segments = ctx->gso_segs,
		.vlan_present = ctx->vlan_present,
		.vlan_tci = ctx->vlan_tci,
	};

	barrier();
	return buffer;
}

/* What a socket buffer is on the wire: its segments and their headers, tags included. */
static __always_inline void measure_skb(const struct buffer *buffer, const struct cursor *c, const struct packet *p,
					int outcome, struct udp_track_counts *wire)
{
	__u32 bytes = buffer->bytes, segment_bytes = buffer->segment_bytes, segments = buffer->segments, headers;
	__u32 tag = buffer->vlan_present ? VLAN_TAG_BYTES : 0;

	wire->packets = 1;
	wire->bytes = bytes + tag;
	if (!segment_bytes)
		return;
	headers = repeated_bytes(c, p, outcome);
	if (!segments && bytes > headers) /* not filled in by every source (virtio_net, Linux 5.10 on veth) */
		segments = (bytes - headers + segment_bytes - 1) / segment_bytes;
	if (segments > 1) {
		wire->packets = segments;
		wire->bytes += (__u64)(segments - 1) * (headers + tag);
	}
}

/*
 * Whether the headers that matter lie in the buffer's linear part, as they do for nearly all frames. Asked before the frame is parsed, so that it
 * is parsed once; a frame that is of no interest has nothing more to show.
 */
static __always_inline bool has_headers(struct __sk_buff *ctx, const bool ethernet)
{
	struct cursor c = {
		.start = (void *)(long)ctx->data,
		.position = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
	};
	struct packet p = {};
	__u32 room;
	__be16 ethertype = parse_plain_link(&c, &p, ethernet, &room);

	if (ethertype == bpf_htons(ETHERTYPE_IPV4)) {
		struct iphdr *ip = c.position;
		struct udp_header *udp = (void *)(ip + 1);

		if ((void *)udp > c.end)
			return false;
		if (ip->protocol == IPPROTO_UDP)
			return *(__u8 *)ip == IPV4_WITHOUT_OPTIONS && (void *)(udp + 1) <= c.end;
		return ip->protocol != IPPROTO_ICMP;
	}
	if (ethertype == bpf_htons(ETHERTYPE_IPV6)) {
		struct ipv6hdr *ip = c.position;
		struct udp_header *udp = (void *)(ip + 1);

		if ((void *)udp > c.end)
			return false;
		return ip->nexthdr == IPPROTO_TCP || (ip->nexthdr == IPPROTO_UDP && (void *)(udp + 1) <= c.end);
	}
	return ethertype && !is_vlan(ethertype);
}

/* Headers may lie outside the linear part: then it is extended. */
static __noinline int pull_headers(struct __sk_buff *ctx, const bool ethernet)
{
	__u32 wanted = ctx->len < PULL_BYTES ? ctx->len : PULL_BYTES;

	if (ctx->data_end - ctx->data < wanted && !has_headers(ctx, ethernet))
		bpf_skb_pull_data(ctx, wanted);
	return 0;
}

static __noinline int read_quote_skb(struct __sk_buff *ctx, struct packet *error)
{
	return error && read_quote((void *)(long)ctx->data, (void *)(long)ctx->data_end, error);
}

/* A socket buffer of any shape. */
static __noinline int parse_skb(struct __sk_buff *ctx, struct packet *p, struct frame *frame, const bool ethernet)
{
	struct buffer buffer = read_buffer(ctx);
	struct cursor c = {
		.start = (void *)(long)ctx->data,
		.position = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
		.frame_bytes = buffer.bytes,
	};
	int outcome;

	if (!p || !frame)
		return UDP_TRACK_MALFORMED;
	if (buffer.vlan_present)
		add_tag(p, buffer.vlan_tci);
	outcome = parse_frame(&c, p, ethernet);
	measure_skb(&buffer, &c, p, outcome, &frame->wire);
	if (has_message(p, outcome))
		frame->message = udp_track_message_skb(ctx, p->payload, ports_of(p));
	return outcome;
}

static __noinline int parse_other_skb(struct __sk_buff *ctx, struct frame *frame, const bool ethernet)
{
	__u32 ifindex = ctx->ifindex;
	struct packet p = {};
	int outcome;

	if (!frame)
		return UDP_TRACK_MALFORMED;
	*frame = (struct frame){ .ifindex = ifindex, .slot = interface_slot(ifindex) };
	pull_headers(ctx, ethernet);
	outcome = parse_skb(ctx, &p, frame, ethernet);
	if (outcome == UDP_TRACK_NOT_UDP && is_icmp(&p) && read_quote_skb(ctx, &p))
		track_error(&p, frame);
	return complete(&p, frame, outcome);
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Bytes to struct packet: Ethernet, VLAN, IPv4, IPv6, UDP, and the packet that an ICMP error quotes. No maps.
 *
 * Each step checks bounds, moves the cursor past what it read and returns the reason to skip the frame, or PARSED.
 * The order of the checks decides the reason where several apply; tests/common/reference.rs has the same order in
 * plain Rust, and random frames are run through both.
 */
#ifndef PARSE_H
#define PARSE_H

#define PARSED (-1)

#define ETHERTYPE_IPV4	   0x0800
#define ETHERTYPE_IPV6	   0x86dd
#define ETHERTYPE_VLAN	   0x8100
#define ETHERTYPE_QINQ	   0x88a8
#define ETHERTYPE_QINQ_OLD 0x9100 /* before IEEE 802.1ad had a number */

#define VLAN_ID	       0x0fff
#define VLAN_TAG_BYTES 4
#define MAX_TAGS       2
#define MAX_EXTENSIONS 8

#define IPV4_MORE_FRAGMENTS 0x2000
#define IPV4_OFFSET	    0x1fff
#define IPV6_MORE_FRAGMENTS 0x0001
#define IPV6_OFFSET	    0xfff8
#define MAX_DATAGRAM	    65535

/* Extension headers of IPv6 that are walked (IANA "IPv6 Extension Header Types"); ESP hides what follows it. */
#define NEXT_HOP_BY_HOP	    0
#define NEXT_ROUTING	    43
#define NEXT_FRAGMENT	    44
#define NEXT_AUTHENTICATION 51
#define NEXT_DESTINATION    60
#define NEXT_MOBILITY	    135
#define NEXT_HIP	    139
#define NEXT_SHIM6	    140

#define IPPROTO_ICMPV6 58 /* in no enum of vmlinux.h */

#define MAX_ICMP_OFFSET		  0x07ff
#define ICMP_UNREACHABLE	  3
#define ICMP_TIME_EXCEEDED	  11
#define ICMP_PARAMETER_PROBLEM	  12
#define ICMP_FRAGMENTATION_NEEDED 4 /* a code of ICMP_UNREACHABLE: path MTU discovery at work, not an end */
#define ICMP6_UNREACHABLE	  1
#define ICMP6_TIME_EXCEEDED	  3
#define ICMP6_PARAMETER_PROBLEM	  4

/* Where the parser is, and how far it may go. frame_bytes counts also what lies in further buffers, out of its sight. */
struct cursor {
	void *start;
	void *position;
	void *end;
	__u32 frame_bytes;
};

enum fragment {
	FRAGMENT_NONE,
	FRAGMENT_HEAD,
	FRAGMENT_LATER,
};

/* What a sender asks of routers, in 16 bits: the TTL or hop limit, and above it the TOS byte or traffic class (RFC 2474, RFC 3168). */
enum handling {
	HANDLING_CLASS_SHIFT = 8,
};

/* What a frame holds. Addresses and ports are network order. Valid when parsed; ports not for FRAGMENT_LATER. */
struct packet {
	__u64 source6[2], destination6[2]; /* IPv6 */
	__u32 source4, destination4; /* IPv4 */
	__be16 source_port, destination_port;
	__u16 vlan_outer, vlan_inner; /* ids, host order; 0 = none */
	__u8 tags; /* VLAN tags, with one that the kernel has stripped */
	__u8 version; /* 4, 6; 0 until known */
	__u8 protocol; /* above IP */
	__u8 fragment; /* enum fragment */
	__u16 handling; /* enum handling; of a plain frame plain_handling() says it */
	__u32 fragment_id; /* network order */
	__u32 payload; /* offset in the frame of what is above IP */
};

struct vlan_tag {
	__be16 tci;
	__be16 ethertype;
};

static __always_inline __u32 cursor_offset(const struct cursor *c)
{
	return (__u32)(c->position - c->start);
}

static __always_inline bool is_vlan(__be16 ethertype)
{
	return ethertype == bpf_htons(ETHERTYPE_VLAN) || ethertype == bpf_htons(ETHERTYPE_QINQ) ||
	       ethertype == bpf_htons(ETHERTYPE_QINQ_OLD);
}

static __always_inline void add_tag(struct packet *p, __u16 tci)
{
	if (p->tags == 0)
		p->vlan_outer = tci & VLAN_ID;
	else
		p->vlan_inner = tci & VLAN_ID;
	p->tags++;
}

/* Ethernet header and VLAN tags; leaves the ethertype above them in *ethertype. */
static __always_inline int parse_ethernet(struct cursor *c, struct packet *p, __be16 *ethertype)
{
	struct ethhdr *ethernet = c->position;

	if ((void *)(ethernet + 1) > c->end)
		return UDP_TRACK_TRUNCATED;
	*ethertype = ethernet->h_proto;
	c->position = ethernet + 1;
#pragma unroll
	for (int i = 0; i <= MAX_TAGS; i++) {
		struct vlan_tag *tag = c->position;

		if (!is_vlan(*ethertype))
			return PARSED;
		if (p->tags == MAX_TAGS)
			return UDP_TRACK_TOO_DEEP;
		if ((void *)(tag + 1) > c->end)
			return UDP_TRACK_TRUNCATED;
		add_tag(p, bpf_ntohs(tag->tci));
		*ethertype = tag->ethertype;
		c->position = tag + 1;
	}
	return PARSED;
}

static __always_inline __u16 handling4(const struct iphdr *ip)
{
	return ip->tos << HANDLING_CLASS_SHIFT | ip->ttl;
}

static __always_inline __u16 handling6(const struct ipv6hdr *ip)
{
	return (ip->priority << 4 | ip->flow_lbl[0] >> 4) << HANDLING_CLASS_SHIFT | ip->hop_limit;
}

/* A UDP header with `room` bytes of IP payload from its start on. A head's length spans the fragments that follow. */
static __always_inline int parse_udp(struct cursor *c, struct packet *p, __u32 room)
{
	struct udp_header *udp = c->position;
	__u32 length;

	if ((void *)(udp + 1) > c->end)
		return UDP_TRACK_TRUNCATED;
	length = bpf_ntohs(udp->len);
	/* RFC 2675: the IP header's length says it. The kernel takes it so with any length (udpv6_rcv). */
	if (!length && p->version == 6)
		length = room;
	if (length < sizeof(*udp))
		return UDP_TRACK_MALFORMED;
	if (p->fragment == FRAGMENT_HEAD ? length < room : length > room)
		return UDP_TRACK_MALFORMED;
	p->source_port = udp->source;
	p->destination_port = udp->dest;
	return PARSED;
}

static __always_inline int parse_ipv4(struct cursor *c, struct packet *p)
{
	struct iphdr *ip = c->position;
	__u32 offset = cursor_offset(c);
	__u32 header, total, fragment;

	if ((void *)(ip + 1) > c->end)
		return UDP_TRACK_TRUNCATED;
	header = ip->ihl * 4;
	if (ip->version != 4 || header < sizeof(*ip))
		return UDP_TRACK_MALFORMED;
	p->version = 4;
	p->protocol = ip->protocol;
	p->source4 = ip->saddr;
	p->destination4 = ip->daddr;
	fragment = bpf_ntohs(ip->frag_off);
	if (fragment & IPV4_OFFSET)
		p->fragment = FRAGMENT_LATER;
	else if (fragment & IPV4_MORE_FRAGMENTS)
		p->fragment = FRAGMENT_HEAD;
	c->position += header;
	if (ip->protocol != IPPROTO_UDP)
		return UDP_TRACK_NOT_UDP;
	total = bpf_ntohs(ip->tot_len);
	if (total < header)
		return UDP_TRACK_MALFORMED;
	if (c->position > c->end)
		return UDP_TRACK_TRUNCATED;
	if ((fragment & IPV4_OFFSET) * 8 + total - header > MAX_DATAGRAM)
		return UDP_TRACK_MALFORMED;
	if (offset + total > c->frame_bytes)
		return UDP_TRACK_TRUNCATED;
	p->handling = handling4(ip);
	p->fragment_id = ip->id;
	if (p->fragment == FRAGMENT_LATER)
		return PARSED;
	if (total - header < sizeof(struct udp_header))
		return UDP_TRACK_MALFORMED;
	return parse_udp(c, p, total - header);
}

/*
 * The extension headers that are walked, and how long each is: fixed + its length field * scale bytes (RFC 8200 4.2;
 * RFC 4302 2.2 for AH). A table and not branches: the verifier would follow each kind at each depth and give up ("BPF
 * program is too large. Processed 1000001 insn").
 */
struct extension {
	__u8 fixed; /* 0: no extension header */
	__u8 scale;
};
#define EXTENSION_BYTES 0x0fff /* more than the longest, 255 * 8 + 8: a bound that the verifier sees */
static const struct extension extensions[256] = {
	[NEXT_HOP_BY_HOP] = { 8, 8 },  [NEXT_ROUTING] = { 8, 8 },
	[NEXT_FRAGMENT] = { 8, 0 },    [NEXT_AUTHENTICATION] = { 8, 4 },
	[NEXT_DESTINATION] = { 8, 8 }, [NEXT_MOBILITY] = { 8, 8 },
	[NEXT_HIP] = { 8, 8 },	       [NEXT_SHIM6] = { 8, 8 },
};

/*
 * Walks the extension headers of IPv6 from `next` on, to UDP or to a later fragment; *fragment_bytes is the offset of
 * that fragment in its datagram.
 */
static __always_inline int parse_extensions(struct cursor *c, struct packet *p, __u8 next, __u32 *fragment_bytes)
{
	bool fragment_header = false;

	for (int i = 0; i <= MAX_EXTENSIONS; i++) {
		const struct extension *kind = &extensions[next];
		struct frag_hdr *header = c->position; /* 8 bytes, as is the least of every kind */

		p->protocol = next;
		if (next == IPPROTO_UDP)
			return PARSED;
		if (!kind->fixed)
			return UDP_TRACK_NOT_UDP;
		if (i == MAX_EXTENSIONS)
			return UDP_TRACK_TOO_DEEP;
		if ((void *)(header + 1) > c->end)
			return UDP_TRACK_TRUNCATED;
		/* `reserved` lies where the other kinds have their length. */
		c->position += (header->reserved * kind->scale + kind->fixed) & EXTENSION_BYTES;
		if (next == NEXT_FRAGMENT) {
			__u32 fragment = bpf_ntohs(header->frag_off);

			if (fragment_header)
				return UDP_TRACK_MALFORMED;
			fragment_header = true;
			p->fragment_id = header->identification;
			p->protocol = header->nexthdr;
			if (fragment & IPV6_OFFSET) {
				/* Where the head's chain went on is not in this fragment: the head tells whether it is UDP. */
				*fragment_bytes = fragment & IPV6_OFFSET;
				p->fragment = FRAGMENT_LATER;
				return p->protocol == IPPROTO_UDP || extensions[p->protocol].fixed ? PARSED
												   : UDP_TRACK_NOT_UDP;
			}
			if (fragment & IPV6_MORE_FRAGMENTS)
				p->fragment = FRAGMENT_HEAD;
		}
		next = header->nexthdr;
	}
	return UDP_TRACK_TOO_DEEP;
}

static __always_inline int parse_ipv6(struct cursor *c, struct packet *p)
{
	struct ipv6hdr *ip = c->position;
	__u32 offset = cursor_offset(c);
	__u32 end, at, fragment_bytes = 0;
	int outcome;

	if ((void *)(ip + 1) > c->end)
		return UDP_TRACK_TRUNCATED;
	if (ip->version != 6)
		return UDP_TRACK_MALFORMED;
	p->version = 6;
	p->protocol = ip->nexthdr;
	__builtin_memcpy(p->source6, &ip->saddr, sizeof(p->source6));
	__builtin_memcpy(p->destination6, &ip->daddr, sizeof(p->destination6));
	end = offset + sizeof(*ip) + bpf_ntohs(ip->payload_len);
	c->position = ip + 1;
	if (ip->nexthdr != IPPROTO_UDP) {
		outcome = parse_extensions(c, p, ip->nexthdr, &fragment_bytes);
		if (outcome != PARSED)
			return outcome;
	}
	p->handling = handling6(ip);
	at = cursor_offset(c);
	if (p->fragment == FRAGMENT_LATER) {
		if (end < at || fragment_bytes + (end - at) > MAX_DATAGRAM)
			return UDP_TRACK_MALFORMED;
		return end <= c->frame_bytes ? PARSED : UDP_TRACK_TRUNCATED;
	}
	if (end < at + sizeof(struct udp_header))
		return UDP_TRACK_MALFORMED;
	if (end > c->frame_bytes)
		return UDP_TRACK_TRUNCATED;
	return parse_udp(c, p, end - at);
}

/* A frame from its link header on, or from its IP header where the link has none (tun, WireGuard). */
static __always_inline int parse_frame(struct cursor *c, struct packet *p, const bool ethernet)
{
	__be16 ethertype;
	int outcome;

	if (ethernet) {
		outcome = parse_ethernet(c, p, &ethertype);
		if (outcome != PARSED)
			return outcome;
	} else {
		__u8 *first = c->position;

		if ((void *)(first + 1) > c->end)
			return UDP_TRACK_TRUNCATED;
		/* The ARPHRD type of the interface said that IP starts here, so the version is not a guess. */
		ethertype = *first >> 4 == 4   ? bpf_htons(ETHERTYPE_IPV4)
			    : *first >> 4 == 6 ? bpf_htons(ETHERTYPE_IPV6)
					       : 0;
	}
	if (ethertype == bpf_htons(ETHERTYPE_IPV4))
		outcome = parse_ipv4(c, p);
	else if (ethertype == bpf_htons(ETHERTYPE_IPV6))
		outcome = parse_ipv6(c, p);
	else
		return UDP_TRACK_NOT_IP;
	p->payload = cursor_offset(c);
	return outcome;
}

/*
 * The frames that nearly all packets come in: at most one VLAN tag, no options, no extension headers, no fragment. Asked of
 * these is what parse_frame() asks; what fails here is left to it. Each family has a function of its own, for hot paths of
 * their own: where they meet, a packet of either pays for the values that the other needs.
 */

/* The ethertype above the link header and a tag, and in *room the bytes of the frame from there on; 0 when that much is not there. */
static __always_inline __be16 parse_plain_link(struct cursor *c, struct packet *p, const bool ethernet, __u32 *room)
{
	struct ethhdr *header = c->position;
	struct vlan_tag *tag = (void *)(header + 1);

	*room = c->frame_bytes;
	if (!ethernet) {
		__u8 *first = c->position;

		if ((void *)(first + 1) > c->end)
			return 0;
		return *first >> 4 == 6 ? bpf_htons(ETHERTYPE_IPV6) : bpf_htons(ETHERTYPE_IPV4);
	}
	if ((void *)(header + 1) > c->end)
		return 0;
	c->position = header + 1;
	*room -= sizeof(*header);
	if (header->h_proto != bpf_htons(ETHERTYPE_VLAN) || p->tags)
		return header->h_proto;
	if ((void *)(tag + 1) > c->end)
		return 0;
	add_tag(p, bpf_ntohs(tag->tci));
	c->position = tag + 1;
	*room -= sizeof(*tag);
	return tag->ethertype;
}

#define IPV4_WITHOUT_OPTIONS 0x45 /* version and header length, in one byte */

static __always_inline bool parse_plain4(struct cursor *c, struct packet *p, __u32 room)
{
	struct iphdr *ip = c->position;
	struct udp_header *udp = (void *)(ip + 1);
	__u32 total, length;

	if ((void *)(udp + 1) > c->end || *(__u8 *)ip != IPV4_WITHOUT_OPTIONS || ip->protocol != IPPROTO_UDP ||
	    ip->frag_off & bpf_htons(IPV4_MORE_FRAGMENTS | IPV4_OFFSET))
		return false;
	total = bpf_ntohs(ip->tot_len);
	length = bpf_ntohs(udp->len);
	if (length < sizeof(*udp) || sizeof(*ip) + length > total || total > room)
		return false;
	p->version = 4;
	p->source4 = ip->saddr;
	p->destination4 = ip->daddr;
	p->source_port = udp->source;
	p->destination_port = udp->dest;
	return true;
}

static __always_inline bool parse_plain6(struct cursor *c, struct packet *p, __u32 room)
{
	struct ipv6hdr *ip = c->position;
	struct udp_header *udp = (void *)(ip + 1);
	__u32 payload, length;

	if ((void *)(udp + 1) > c->end || ip->version != 6 || ip->nexthdr != IPPROTO_UDP)
		return false;
	payload = bpf_ntohs(ip->payload_len);
	length = bpf_ntohs(udp->len);
	if (length < sizeof(*udp) || length > payload || sizeof(*ip) + payload > room)
		return false;
	p->version = 6;
	__builtin_memcpy(p->source6, &ip->saddr, sizeof(p->source6));
	__builtin_memcpy(p->destination6, &ip->daddr, sizeof(p->destination6));
	p->source_port = udp->source;
	p->destination_port = udp->dest;
	return true;
}

/* What the sender of a plain frame asks of routers: the cursor is on its IP header. Not asked on the hot path, which has no use for it. */
static __always_inline __u16 plain_handling(const struct cursor *c, const struct packet *p)
{
	return p->version == 4 ? handling4(c->position) : handling6(c->position);
}

/* Whether the frame that parse_frame() called NOT_UDP is ICMP with its header in this frame. */
static __always_inline bool is_icmp(const struct packet *p)
{
	return (p->version == 4 ? p->protocol == IPPROTO_ICMP : p->version == 6 && p->protocol == IPPROTO_ICMPV6) &&
	       p->fragment != FRAGMENT_LATER;
}

/* Whether an ICMP message says that a datagram could not be delivered. */
static __always_inline bool is_delivery_error(__u8 version, __u8 type, __u8 code)
{
	if (version == 4)
		return (type == ICMP_UNREACHABLE && code != ICMP_FRAGMENTATION_NEEDED) || type == ICMP_TIME_EXCEEDED ||
		       type == ICMP_PARAMETER_PROBLEM;
	return type == ICMP6_UNREACHABLE || type == ICMP6_TIME_EXCEEDED || type == ICMP6_PARAMETER_PROBLEM;
}

/*
 * The packet quoted by an ICMP error; true when it is UDP with its ports in the quote. The caller sets what is that of the
 * error: version, VLAN ids, and in `payload` the offset of the ICMP header. The quote's IP lengths are not checked: routers cut quotes
 * (RFC 792: 8 bytes are enough).
 */
static __always_inline bool parse_quote(struct cursor *c, struct packet *quoted)
{
	__u32 offset = quoted->payload;
	struct icmphdr *icmp;
	struct udp_header *udp;

	/* Two chains of extension headers could reach past 64 KiB, where the verifier stops ("invalid access to packet"). */
	if (offset > MAX_ICMP_OFFSET)
		return false;
	barrier_var(offset); /* or clang drops the mask, which the check implies, but the verifier does not see that */
	c->position = c->start + (offset & MAX_ICMP_OFFSET);
	icmp = c->position;
	if ((void *)(icmp + 1) > c->end || !is_delivery_error(quoted->version, icmp->type, icmp->code))
		return false;
	c->position = icmp + 1;
	if (quoted->version == 4) {
		struct iphdr *ip = c->position;

		if ((void *)(ip + 1) > c->end || ip->version != 4 || ip->ihl < 5 || ip->protocol != IPPROTO_UDP ||
		    ip->frag_off & bpf_htons(IPV4_OFFSET))
			return false;
		quoted->source4 = ip->saddr;
		quoted->destination4 = ip->daddr;
		c->position += ip->ihl * 4;
	} else {
		struct ipv6hdr *ip = c->position;
		__u32 fragment_bytes;

		if ((void *)(ip + 1) > c->end || ip->version != 6)
			return false;
		c->position = ip + 1;
		if (parse_extensions(c, quoted, ip->nexthdr, &fragment_bytes) != PARSED ||
		    quoted->fragment == FRAGMENT_LATER)
			return false;
		__builtin_memcpy(quoted->source6, &ip->saddr, sizeof(quoted->source6));
		__builtin_memcpy(quoted->destination6, &ip->daddr, sizeof(quoted->destination6));
	}
	udp = c->position;
	if ((void *)(udp + 1) > c->end)
		return false;
	quoted->source_port = udp->source;
	quoted->destination_port = udp->dest;
	return true;
}

#endif

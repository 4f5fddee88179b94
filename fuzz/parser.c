// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The parser of the kernel programs, compiled for user space from the very same headers, for fuzz_targets/frames.rs.
 * What libbpf's headers would give them is here; maps.h is not, so the settings that tuple.h reads are a plain variable.
 */
#define BPF_NO_PRESERVE_ACCESS_INDEX
#include "vmlinux.h"

#define NULL		 ((void *)0)
#define __always_inline	 inline __attribute__((always_inline))
#define bpf_htons(x)	 ((__be16)__builtin_bswap16(x))
#define bpf_ntohs(x)	 __builtin_bswap16(x)
#define barrier_var(var) asm volatile("" : "+r"(var))

#include "udp_track.h"
#include "parse.h"

static struct udp_track_settings settings = { .per_interface = 1 };

#include "tuple.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "bpf_htons");

/* The interface that all frames come from, as a part of their connections. */
#define INTERFACE 0x12345

/* What came out; frames.rs has the same struct. Addresses and ports are network order, as in struct packet. */
struct reading {
	__u64 source6[2], destination6[2];
	__u64 words[UDP_TRACK_TUPLE_WORDS]; /* of the tuple */
	__u64 id;
	__u64 mixed;
	__s32 outcome; /* enum udp_track_skip, or PARSED */
	__u32 source4, destination4;
	__u32 fragment_id;
	__u32 payload;
	__u32 side;
	__u16 source_port, destination_port;
	__u16 vlan_outer, vlan_inner;
	__u16 handling;
	__u8 version, fragment;
	__u8 icmp; /* 1: the programs would look for a quote */
};
_Static_assert(sizeof(struct reading) == 128, "reading");

/* A frame, of which the programs see the first `seen` bytes. */
struct input {
	__u8 *bytes;
	__u32 seen;
	__u32 whole; /* how long the frame is */
	__u32 ethernet; /* 0: it begins with its IP header */
	__s32 stripped; /* a VLAN tag that the kernel has taken out, or -1 */
};

static struct cursor cursor_of(const struct input *input)
{
	return (struct cursor){
		.start = input->bytes,
		.position = input->bytes,
		.end = input->bytes + input->seen,
		.frame_bytes = input->whole,
	};
}

static void fill(struct reading *reading, const struct packet *p)
{
	struct udp_track_tuple tuple;

	*reading = (struct reading){
		.source6 = { p->source6[0], p->source6[1] },
		.destination6 = { p->destination6[0], p->destination6[1] },
		.source4 = p->source4,
		.destination4 = p->destination4,
		.fragment_id = p->fragment_id,
		.payload = p->payload,
		.source_port = p->source_port,
		.destination_port = p->destination_port,
		.vlan_outer = p->vlan_outer,
		.vlan_inner = p->vlan_inner,
		.version = p->version,
		.fragment = p->fragment,
		.handling = p->handling,
	};
	if (p->version) {
		reading->side = make_tuple(p, &tuple);
		__builtin_memcpy(reading->words, tuple.words, sizeof(tuple.words));
		reading->id = connection_id(&tuple, INTERFACE);
		reading->mixed = mix(&tuple, INTERFACE, p->version == 6, false);
	}
}

void udp_track_set_keys(const __u64 *hash_key, const __u64 *place_key)
{
	__builtin_memcpy(settings.hash_key, hash_key, sizeof(settings.hash_key));
	__builtin_memcpy(settings.place_key, place_key, sizeof(settings.place_key));
}

/* As parse_xdp() and parse_skb() do. */
void udp_track_read_frame(const struct input *input, struct reading *reading)
{
	struct cursor c = cursor_of(input);
	struct packet p = {};
	int outcome;

	if (input->stripped >= 0)
		add_tag(&p, input->stripped);
	/* The programs have `ethernet` as a constant. */
	outcome = input->ethernet ? parse_frame(&c, &p, true) : parse_frame(&c, &p, false);
	fill(reading, &p);
	reading->outcome = outcome;
	reading->icmp = outcome == UDP_TRACK_NOT_UDP && is_icmp(&p) && p.payload;
}

/* The hot path's way; 0: left to udp_track_read_frame(). */
int udp_track_read_plain(const struct input *input, struct reading *reading)
{
	struct cursor c = cursor_of(input);
	struct packet p = {};
	__be16 ethertype;
	__u32 room;
	bool plain;

	if (input->stripped >= 0)
		add_tag(&p, input->stripped);
	ethertype = input->ethernet ? parse_plain_link(&c, &p, true, &room) : parse_plain_link(&c, &p, false, &room);
	plain = ethertype == bpf_htons(ETHERTYPE_IPV4)	 ? parse_plain4(&c, &p, room)
		: ethertype == bpf_htons(ETHERTYPE_IPV6) ? parse_plain6(&c, &p, room)
							 : false;
	if (plain)
		p.handling = plain_handling(&c, &p);
	fill(reading, &p);
	reading->outcome = PARSED;
	return plain;
}

/* What an ICMP error quotes, as read_quote() does; `error` is what udp_track_read_frame() made of it. */
int udp_track_read_quote(const struct input *input, const struct reading *error, struct reading *reading)
{
	struct cursor c = cursor_of(input);
	struct packet quoted = {
		.version = error->version,
		.vlan_outer = error->vlan_outer,
		.vlan_inner = error->vlan_inner,
		.payload = error->payload,
	};
	bool found;

	c.frame_bytes = 0;
	found = parse_quote(&c, &quoted);
	fill(reading, &quoted);
	return found;
}

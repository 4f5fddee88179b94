/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packet to canonical tuple, side and connection id.
 *
 * The id is a multilinear hash with secret 64-bit multipliers over the tuple's 32-bit halves: two sums, the high half
 * of each. It is universal: for any two tuples chosen without the key, the ids are equal with a probability of at most
 * 2^-64 (Lemire and Kaser, "Strongly universal string hashing is fast", 2014). Ids never leave the machine before the
 * key is gone, so nobody can learn which tuples collide.
 */
#ifndef TUPLE_H
#define TUPLE_H

/* One end of an IPv4 connection, for comparing: address << 16 | port. */
static __always_inline __u64 end4(__u32 address, __be16 port)
{
	return (__u64)address << 16 | port;
}

static __always_inline bool source_is_higher6(const struct packet *p)
{
	if (p->source6[0] != p->destination6[0])
		return p->source6[0] > p->destination6[0];
	if (p->source6[1] != p->destination6[1])
		return p->source6[1] > p->destination6[1];
	return p->source_port > p->destination_port;
}

/* Fills the tuple; returns the side that sent the packet. */
static __always_inline __u32 make_tuple4(const struct packet *p, struct udp_track_tuple *tuple)
{
	__u64 source = end4(p->source4, p->source_port);
	__u64 destination = end4(p->destination4, p->destination_port);
	/* Without a branch: which end is the higher one, no processor can foretell. Ends have 48 bits. */
	__u64 higher = (destination - source) >> 63;
	__u64 swap = (source ^ destination) & -higher;

	tuple->words[0] = (source ^ swap) | (__u64)p->vlan_outer << 48 | UDP_TRACK_TUPLE;
	tuple->words[1] = (destination ^ swap) | (__u64)p->vlan_inner << 48;
	tuple->words[2] = tuple->words[3] = tuple->words[4] = 0;
	return higher;
}

static __always_inline __u32 make_tuple6(const struct packet *p, struct udp_track_tuple *tuple)
{
	bool higher = source_is_higher6(p);
	__u64 ports = higher ? (__u64)p->source_port << 16 | p->destination_port
			     : (__u64)p->destination_port << 16 | p->source_port;

	tuple->words[0] =
		UDP_TRACK_TUPLE | UDP_TRACK_IPV6 | (__u64)p->vlan_inner << 48 | (__u64)p->vlan_outer << 32 | ports;
	tuple->words[1] = higher ? p->source6[1] : p->destination6[1];
	tuple->words[2] = higher ? p->source6[0] : p->destination6[0];
	tuple->words[3] = higher ? p->destination6[0] : p->source6[0];
	tuple->words[4] = higher ? p->destination6[1] : p->source6[1];
	return higher;
}

static __always_inline __u32 make_tuple(const struct packet *p, struct udp_track_tuple *tuple)
{
	return p->version == 4 ? make_tuple4(p, tuple) : make_tuple6(p, tuple);
}

static __always_inline bool is_tuple6(const struct udp_track_tuple *tuple)
{
	return tuple->words[0] & UDP_TRACK_IPV6;
}

/* Words past the second are 0 in an IPv4 tuple and add nothing to the sums, so both lengths are one family of hashes. */
static __always_inline __u64 connection_id(const struct udp_track_tuple *tuple, __u32 interface)
{
	__u64 x = settings.hash_key[0], y = settings.hash_key[UDP_TRACK_KEY_WORDS];

	if (settings.per_interface) {
		x += settings.hash_key[UDP_TRACK_KEY_WORDS - 1] * interface;
		y += settings.hash_key[2 * UDP_TRACK_KEY_WORDS - 1] * interface;
	}
#pragma unroll
	for (int i = 0; i < UDP_TRACK_TUPLE_WORDS; i++) {
		__u64 low = (__u32)tuple->words[i], high = tuple->words[i] >> 32;

		if (i == 2 && !is_tuple6(tuple))
			break;
		x += settings.hash_key[1 + 2 * i] * low + settings.hash_key[2 + 2 * i] * high;
		y += settings.hash_key[UDP_TRACK_KEY_WORDS + 1 + 2 * i] * low +
		     settings.hash_key[UDP_TRACK_KEY_WORDS + 2 + 2 * i] * high;
	}
	return (x & 0xffffffff00000000ULL) | y >> 32;
}

/*
 * A cheaper mix of a tuple, to find its place by: for a packet that has one, nobody needs the id. Whole words times secret odd
 * multipliers, of which the upper bits are good (multiply-shift: Dietzfelbinger et al., "A reliable randomized algorithm for the
 * closest-pair problem", 1997), twice: once is linear, and a client that counts its ports up would crowd into few sets with one
 * key in ten. Who shares a set costs time, not counts: places are compared by their tuples. `usual`: see settings.unusual.
 */
static __always_inline __u64 mix(const struct udp_track_tuple *tuple, __u32 interface, const bool ipv6,
				 const bool usual)
{
	__u64 sum = settings.place_key[0] * tuple->words[0] + settings.place_key[1] * tuple->words[1];

	if (!usual && settings.per_interface)
		sum += settings.place_key[UDP_TRACK_TUPLE_WORDS] * interface;
	if (ipv6)
		sum += settings.place_key[2] * tuple->words[2] + settings.place_key[3] * tuple->words[3] +
		       settings.place_key[4] * tuple->words[4];
	return (sum ^ sum >> 32) * settings.place_key[UDP_TRACK_TUPLE_WORDS + 1];
}

#endif

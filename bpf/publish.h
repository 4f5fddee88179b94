/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The table as the maps that others read: connection_track, connection_stats, ip_stats, ip6_stats. User space writes down what has
 * changed in a tick (struct udp_track_publication), and runs the program that puts it there. No packet comes here.
 */
#ifndef PUBLISH_H
#define PUBLISH_H

#define E2BIG 7

/*
 * Error codes of map operations are looked at as int: up to Linux 6.3 these return int, the verifier calls them directly,
 * and the upper half of the register is whatever they left there.
 */
static __always_inline int update(void *map, const void *key, const void *value, __u64 flags)
{
	return bpf_map_update_elem(map, key, value, flags);
}

/* To an address in one of the two maps goes what a connection has grown by: `fresh`, which is the entry where there is none. */
static __always_inline void count_address(void *map, const void *address, const struct udp_track_ip *fresh)
{
	struct udp_track_ip *ip = bpf_map_lookup_elem(map, address);

	if (ip) {
		ip->bytes += fresh->bytes;
		ip->packets += fresh->packets;
		ip->published = fresh->published;
	} else if (!update(map, address, fresh, BPF_NOEXIST)) {
		publishing.addresses++;
	} else {
		publishing.without_entry.bytes += fresh->bytes;
		publishing.without_entry.packets += fresh->packets;
	}
}

/* One publication. A global function: the verifier checks it once, not once for each of a run. */
__noinline int udp_track_publish_one(__u32 index)
{
	struct udp_track_publication *p = bpf_map_lookup_elem(&publications, &index);
	struct udp_track_stats *published, total;
	__u64 now = bpf_jiffies64(), id;
	struct udp_track_counts grown;
	struct udp_track_ip fresh;
	__u32 kind, state;

	if (!p)
		return 0;
	kind = p->kind;
	id = p->id;
	grown = p->grown;
	total = (struct udp_track_stats){ .bytes = p->total.bytes, .packets = p->total.packets };
	published = bpf_map_lookup_elem(&connection_stats, &id);
	if (published) {
		grown.bytes = total.bytes - published->bytes;
		grown.packets = total.packets - published->packets;
		*published = total;
	} else if (!(kind & UDP_TRACK_WITHDRAW) && !update(&connection_stats, &id, &total, BPF_NOEXIST)) {
		kind |= UDP_TRACK_PUBLISH_STATE; /* also where there was no room when it began */
	}
	if (grown.bytes | grown.packets) {
		fresh = (struct udp_track_ip){ .bytes = grown.bytes, .packets = grown.packets, .published = now };
		if (kind & UDP_TRACK_PUBLISH_IPV6) {
			struct in6_addr address;

			__builtin_memcpy(&address, p->addresses[0], sizeof(address));
			count_address(&ip6_stats, &address, &fresh);
			__builtin_memcpy(&address, p->addresses[1], sizeof(address));
			count_address(&ip6_stats, &address, &fresh);
		} else {
			__u32 address = p->addresses[0][0];

			count_address(&ip_stats, &address, &fresh);
			address = p->addresses[1][0];
			count_address(&ip_stats, &address, &fresh);
		}
	}
	if (kind & UDP_TRACK_WITHDRAW) {
		bpf_map_delete_elem(&connection_track, &id);
		bpf_map_delete_elem(&connection_stats, &id);
		return 0;
	}
	if (kind & UDP_TRACK_PUBLISH_STATE) {
		state = p->state;
		if (update(&connection_track, &id, &state, BPF_ANY))
			publishing.unpublished++;
	}
	return 0;
}

#endif

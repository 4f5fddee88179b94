// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What udptrack's programs are measured against: a program that does nothing, one lookup-and-count in an LRU hash, and the
 * algorithm that the project began with. And what makes packets of one frame: it gives the frame another source, then jumps
 * to the program that is measured, which is the very one that a run attaches. All take frames in several buffers, as
 * udptrack's does (Linux 5.18): a program that does cannot jump to one that does not.
 */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define ETH_P_IP      0x0800
#define TC_ACT_UNSPEC (-1)
#define CPUS	      64
#define SEQUENCE      (1 << 22)

/* How the sources of packets follow each other. Written by user space between two runs. */
struct control {
	__u32 address_at; /* offsets in the frame */
	__u32 port_at;
	__u32 mask; /* of the sequence: so many packets, then from the start */
	__u32 fresh; /* each packet is the first of its connection */
	struct {
		__u64 next; /* packet of this CPU */
		__u64 pad[7];
	} cpus[CPUS];
};
struct control control SEC(".data.control");

/* Numbers of connections in the order in which their packets come. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SEQUENCE);
	__type(key, __u32);
	__type(value, __u32);
} sequence SEC(".maps");

/* One element: the program that is measured. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} measured_xdp SEC(".maps"), measured_tc SEC(".maps");

/* Sixteen connections share an address; only IPv4 and the low word of IPv6 are varied. */
static __always_inline void vary(void *data, void *end)
{
	__u32 cpu = bpf_get_smp_processor_id() & (CPUS - 1);
	__u64 next = control.cpus[cpu].next++;
	__be32 *address = data + (control.address_at & 0xff);
	__be16 *port = data + (control.port_at & 0xff);
	__u32 number = next;

	if ((void *)(address + 1) > end || (void *)(port + 1) > end)
		return;
	if (!control.fresh) {
		__u32 at = next & control.mask & (SEQUENCE - 1);
		__u32 *connection = bpf_map_lookup_elem(&sequence, &at);

		if (!connection)
			return;
		number = *connection >> 4;
		*port = bpf_htons(1024 + (*connection & 15));
	}
	*address = bpf_htonl(0x0a000000 + number);
}

SEC("xdp.frags")
int vary_xdp(struct xdp_md *ctx)
{
	vary((void *)(long)ctx->data, (void *)(long)ctx->data_end);
	bpf_tail_call_static(ctx, &measured_xdp, 0);
	return XDP_PASS;
}

SEC("tc")
int vary_tc(struct __sk_buff *ctx)
{
	vary((void *)(long)ctx->data, (void *)(long)ctx->data_end);
	bpf_tail_call_static(ctx, &measured_tc, 0);
	return TC_ACT_UNSPEC;
}

SEC("xdp.frags")
int empty_xdp(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("xdp.frags")
int empty_drop(struct xdp_md *ctx)
{
	return XDP_DROP;
}

SEC("tc")
int empty_tc(struct __sk_buff *ctx)
{
	return TC_ACT_UNSPEC;
}

/* The least that any program must do to have a UDP packet's tuple: no VLAN, options, fragments or IPv6. */
struct tuple {
	__be32 source, destination;
	__be16 source_port, destination_port;
};

static __always_inline bool parse(void *data, void *end, struct tuple *tuple)
{
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);

	if ((void *)(udp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->protocol != IPPROTO_UDP)
		return false;
	tuple->source = ip->saddr;
	tuple->destination = ip->daddr;
	tuple->source_port = udp->source;
	tuple->destination_port = udp->dest;
	return true;
}

/* One lookup and count in an LRU hash: the least that a tracker with a shared table does. */
struct counts {
	__u64 packets;
	__u64 bytes;
	__u64 last;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct tuple);
	__type(value, struct counts);
} lru SEC(".maps");

static __always_inline void count_lru(void *data, void *end)
{
	struct tuple tuple;
	struct counts *counts;
	__u64 bytes = end - data;

	if (!parse(data, end, &tuple))
		return;
	counts = bpf_map_lookup_elem(&lru, &tuple);
	if (counts) {
		__sync_fetch_and_add(&counts->packets, 1);
		__sync_fetch_and_add(&counts->bytes, bytes);
		counts->last = bpf_jiffies64();
	} else {
		struct counts fresh = { 1, bytes, bpf_jiffies64() };

		bpf_map_update_elem(&lru, &tuple, &fresh, BPF_NOEXIST);
	}
}

SEC("xdp.frags")
int lru_xdp(struct xdp_md *ctx)
{
	count_lru((void *)(long)ctx->data, (void *)(long)ctx->data_end);
	return XDP_PASS;
}

SEC("tc")
int lru_tc(struct __sk_buff *ctx)
{
	count_lru((void *)(long)ctx->data, (void *)(long)ctx->data_end);
	return TC_ACT_UNSPEC;
}

/* The first document's algorithm and maps, as they stand there: read, add, write back; two lookups for the state. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u32);
} seed_track SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u64);
} seed_stats SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} seed_ip_stats SEC(".maps");

static __always_inline __u64 seed_key(__u32 source, __u32 destination, __u16 source_port, __u16 destination_port)
{
	return (__u64)source << 32 | destination | (__u64)source_port << 48 | (__u64)destination_port << 32;
}

static __always_inline void add_to(void *map, const void *key, __u64 bytes)
{
	__u64 *known = bpf_map_lookup_elem(map, key);
	__u64 sum = (known ? *known : 0) + bytes;

	bpf_map_update_elem(map, key, &sum, BPF_ANY);
}

static __always_inline void count_seed(void *data, void *end)
{
	struct tuple t;
	__u64 key, reverse;
	__u32 established = 2;
	void *existing, *existing_reverse;

	if (!parse(data, end, &t))
		return;
	key = seed_key(t.source, t.destination, t.source_port, t.destination_port);
	reverse = seed_key(t.destination, t.source, t.destination_port, t.source_port);
	add_to(&seed_stats, &key, end - data);
	add_to(&seed_ip_stats, &t.source, end - data);
	existing = bpf_map_lookup_elem(&seed_track, &key);
	existing_reverse = bpf_map_lookup_elem(&seed_track, &reverse);
	/* It looks both up before it decides: apart, or clang makes one test of both ("pointer |= pointer prohibited"). */
	if (existing)
		return;
	barrier_var(existing_reverse);
	if (!existing_reverse) {
		bpf_map_update_elem(&seed_track, &key, &established, BPF_ANY);
		bpf_map_update_elem(&seed_track, &reverse, &established, BPF_ANY);
	}
}

SEC("xdp.frags")
int seed_xdp(struct xdp_md *ctx)
{
	count_seed((void *)(long)ctx->data, (void *)(long)ctx->data_end);
	return XDP_PASS;
}

/* The same where packets are dropped: for the wire, whose receiver shall do nothing else. */
SEC("xdp.frags")
int seed_drop(struct xdp_md *ctx)
{
	count_seed((void *)(long)ctx->data, (void *)(long)ctx->data_end);
	return XDP_DROP;
}

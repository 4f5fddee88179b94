/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a dropped packet was: its headers as they lie in the kernel's struct sk_buff, the hook that has counted it last, and its size on
 * the wire. Counts nothing. Uses the settings of drops.bpf.c.
 */
#ifndef DROPPED_H
#define DROPPED_H

/* Before 6.2 a packet's VLAN tag had a bit of its own. */
struct sk_buff___with_vlan_bit {
	__u8 vlan_present : 1;
} __attribute__((preserve_access_index));

/* A dropped packet. */
struct drop {
	struct packet p;
	struct udp_track_counts wire;
	__u32 ip_bytes; /* from the IP header on */
	__u32 repeated; /* of these, the headers that each segment of a merged packet has */
	__u8 ethernet; /* of the hook that counted it */
	__u8 kind; /* enum udp_drops_kind */
	__u8 class; /* enum udp_drops_class */
	__u8 unproven; /* nothing tells its network namespace: it is ours if a hook has seen it */
	__u32 reason;
	__u32 slot;
	__u32 direction;
};

/* Where its headers lie. */
struct headers {
	const unsigned char *head;
	__u32 end; /* of what lies there in one piece, from the head on */
};

static __always_inline bool read_header(void *to, __u32 bytes, const struct headers *in, __u32 offset)
{
	return offset + bytes <= in->end && !bpf_probe_read_kernel(to, bytes, in->head + offset);
}

struct ports {
	__be16 source, destination;
};

static __always_inline bool read_ports(struct packet *p, const struct headers *in, __u32 offset)
{
	struct ports ports;

	if (p->fragment == FRAGMENT_LATER)
		return true;
	if (!read_header(&ports, sizeof(ports), in, offset))
		return false;
	p->source_port = ports.source;
	p->destination_port = ports.destination;
	return true;
}

/* False when it is no UDP: as soon as that can be told. */
static __always_inline bool read_ipv4(struct drop *drop, const struct headers *in, __u32 offset)
{
	struct packet *p = &drop->p;
	struct iphdr ip;
	__u16 fragment;
	__u32 length;

	if (!read_header(&ip, sizeof(ip), in, offset) || ip.protocol != IPPROTO_UDP || ip.version != 4)
		return false;
	length = ip.ihl * 4;
	p->version = 4;
	p->source4 = ip.saddr;
	p->destination4 = ip.daddr;
	fragment = bpf_ntohs(ip.frag_off);
	if (fragment & IPV4_OFFSET)
		p->fragment = FRAGMENT_LATER;
	else if (fragment & IPV4_MORE_FRAGMENTS)
		p->fragment = FRAGMENT_HEAD;
	p->fragment_id = ip.id;
	drop->ip_bytes = bpf_ntohs(ip.tot_len);
	drop->repeated = length + sizeof(struct udp_header);
	return read_ports(p, in, offset + length);
}

struct ipv6_extension {
	__u8 next;
	__u8 length;
	__be16 fragment;
	__be32 fragment_id;
};

static __always_inline bool read_ipv6(struct drop *drop, const struct headers *in, __u32 offset)
{
	struct packet *p = &drop->p;
	struct ipv6_extension extension;
	__u32 start = offset;
	struct ipv6hdr ip;
	__u8 next;

	if (!read_header(&ip, sizeof(ip), in, offset) || ip.nexthdr == IPPROTO_TCP || ip.version != 6)
		return false;
	p->version = 6;
	__builtin_memcpy(p->source6, &ip.saddr, sizeof(p->source6));
	__builtin_memcpy(p->destination6, &ip.daddr, sizeof(p->destination6));
	next = ip.nexthdr;
	offset += sizeof(ip);
	for (int i = 0; i < MAX_EXTENSIONS && next != IPPROTO_UDP; i++) {
		if (next != NEXT_HOP_BY_HOP && next != NEXT_ROUTING && next != NEXT_DESTINATION &&
		    next != NEXT_FRAGMENT)
			return false;
		if (!read_header(&extension, sizeof(extension), in, offset))
			return false;
		if (next == NEXT_FRAGMENT) {
			__u16 fragment = bpf_ntohs(extension.fragment);

			p->fragment_id = extension.fragment_id;
			if (fragment & IPV6_OFFSET)
				p->fragment = FRAGMENT_LATER;
			else if (fragment & IPV6_MORE_FRAGMENTS)
				p->fragment = FRAGMENT_HEAD;
			offset += sizeof(extension);
		} else {
			offset += (extension.length + 1) * 8;
		}
		next = extension.next;
		/* What follows the ports of a later fragment is no header. */
		if (p->fragment == FRAGMENT_LATER)
			break;
	}
	if (next != IPPROTO_UDP)
		return false;
	drop->ip_bytes = sizeof(ip) + bpf_ntohs(ip.payload_len);
	drop->repeated = offset - start + sizeof(struct udp_header);
	return read_ports(p, in, offset);
}

static __always_inline void read_tag(const struct sk_buff *skb, struct packet *p)
{
	const struct sk_buff___with_vlan_bit *old = (const void *)skb;

	if (bpf_core_field_exists(old->vlan_present) ? BPF_CORE_READ_BITFIELD(old, vlan_present) : skb->vlan_all)
		add_tag(p, skb->vlan_tci);
}

/* The device of a packet, where the kernel has not put something else there: a socket's queue does (struct udp_dev_scratch, whose upper
 * half is no kernel address). */
static __always_inline const struct net_device *device_of(const struct sk_buff *skb)
{
	__s64 scratch = skb->dev_scratch; /* the same word: "pointer arithmetic prohibited" */

	return scratch < 0 ? skb->dev : NULL;
}

static __always_inline bool is_ours(const struct net_device *device)
{
	return device->nd_net.net->ns.inum == drops_settings.netns;
}

/* The same of the process that reads from its socket now. */
static __always_inline bool is_readers(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, nsproxy, net_ns, ns.inum) == drops_settings.netns;
}

/* The hook of a direction on a tracked interface. */
static __always_inline bool find_hook(struct drop *drop, __u32 ifindex, __u32 direction)
{
	__u32 slot = interface_slot(ifindex), index = slot * UDP_TRACK_DIRECTIONS + direction;
	struct udp_track_hook *hook = bpf_map_lookup_elem(&hooks, &index);

	if (!hook || hook->ifindex != ifindex || hook->is_gone)
		return false;
	if (drop->kind == UDP_DROPS_BACKLOG && hook->kind != XDP_NATIVE)
		return false;
	drop->slot = slot;
	drop->direction = direction;
	drop->ethernet = hook->ethernet;
	return true;
}

/* Whether it was given to its device to be sent: from then on its data begin with the link's header. On a link without one, only what
 * this machine sends itself has set that before. */
static __always_inline bool has_left(const struct sk_buff *skb, const struct headers *in,
				     const struct net_device *device)
{
	__u32 link = skb->mac_header, data = (const unsigned char *)skb->data - in->head;

	if (link == NO_OFFSET || data != link)
		return false;
	return device->hard_header_len ? skb->network_header > link : skb->skb_iif != (int)device->ifindex;
}

/* Linux 7.3 takes the reason of what a queue cuts into segments and drops from where nobody has written one: any number comes. Only what
 * comes in now and is dropped at TC looks like what has left, and is of the device that it came by. */
static __always_inline bool has_no_true_reason(const struct drop *drop, const struct sk_buff *skb,
					       const struct headers *in, const struct net_device *device)
{
	return drops_settings.queue_reasons && drop->kind > UDP_DROPS_UNSPECIFIED && has_left(skb, in, device) &&
	       skb->skb_iif != (int)device->ifindex;
}

/* Which hook has counted it last; false when none has. */
static __always_inline bool place_drop(struct drop *drop, const struct sk_buff *skb, const struct headers *in,
				       __u32 socket_netns)
{
	const struct net_device *device = device_of(skb);
	__u32 came_by = skb->skb_iif;

	if (drop->kind != UDP_DROPS_LEAVING && device && has_no_true_reason(drop, skb, in, device)) {
		drop->kind = UDP_DROPS_UNSPECIFIED;
		drop->class = UDP_DROPS_OTHER;
		drop->reason = 0;
	}
	if (drop->kind == UDP_DROPS_SOCKET) {
		drop->unproven = !socket_netns && !device;
		if (socket_netns ? socket_netns != drops_settings.netns : device && !is_ours(device))
			return false;
		return find_hook(drop, came_by, UDP_TRACK_INGRESS);
	}
	if (drop->kind == UDP_DROPS_REASSEMBLY || (drop->kind == UDP_DROPS_READING && !device)) {
		/* A process may read from a socket of another namespace than its own. */
		drop->unproven = drop->kind == UDP_DROPS_REASSEMBLY || !is_readers();
		return find_hook(drop, came_by, UDP_TRACK_INGRESS);
	}
	if (!device || !is_ours(device))
		return false;
	if (drop->kind == UDP_DROPS_BACKLOG)
		return find_hook(drop, device->ifindex, UDP_TRACK_INGRESS);
	if (drop->kind == UDP_DROPS_LEAVING || (drop->kind <= UDP_DROPS_UNSPECIFIED && has_left(skb, in, device))) {
		if (find_hook(drop, device->ifindex, UDP_TRACK_EGRESS)) {
			read_tag(skb, &drop->p);
			return true;
		}
	}
	return came_by && find_hook(drop, came_by, UDP_TRACK_INGRESS);
}

/* What it was on the wire. */
static __always_inline void measure(struct drop *drop, const struct sk_buff *skb, const struct headers *in)
{
	const struct skb_shared_info *shared = (const void *)(in->head + skb->end);
	__u32 link = (drop->ethernet ? sizeof(struct ethhdr) : 0) + drop->p.tags * VLAN_TAG_BYTES, segments = 1;
	__u16 segment_bytes = BPF_CORE_READ(shared, gso_size);

	if (segment_bytes) {
		segments = BPF_CORE_READ(shared, gso_segs);
		if (!segments && drop->ip_bytes > drop->repeated)
			segments = (drop->ip_bytes - drop->repeated + segment_bytes - 1) / segment_bytes;
		if (!segments)
			segments = 1;
	}
	drop->wire.packets = segments;
	drop->wire.bytes = drop->ip_bytes + (__u64)(segments - 1) * drop->repeated + (__u64)segments * link;
}

/* A later fragment gets the ports of its head, if a hook has seen that. However long ago that was: the kernel itself has waited. */
static __always_inline bool find_head(struct packet *p)
{
	struct fragment_key key = { .id = p->fragment_id, .vlan_outer = p->vlan_outer, .vlan_inner = p->vlan_inner };
	struct fragment_ports *head;

	if (p->version == 4) {
		key.addresses[0] = p->source4;
		key.addresses[2] = p->destination4;
	} else {
		key.vlan_outer |= 0x8000;
		key.addresses[0] = p->source6[0];
		key.addresses[1] = p->source6[1];
		key.addresses[2] = p->destination6[0];
		key.addresses[3] = p->destination6[1];
	}
	head = bpf_map_lookup_elem(&fragments, &key);
	if (!head)
		return false;
	p->source_port = head->ports >> 16;
	p->destination_port = head->ports;
	return true;
}

#endif

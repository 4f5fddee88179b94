// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Which process holds which UDP socket: an iterator over all open files, for the sockets that are there when it is
 * read, and a hook where a socket is closed, for those that come and go between two reads. And what the sockets' buffers
 * hold: an iterator over all bound sockets of a network namespace. Nothing runs when a socket sends or receives.
 *
 * An object of its own: it reads the kernel's own structs, and a kernel whose structs do not fit must still count
 * packets.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "process.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define AF_INET	    2 /* include/linux/socket.h */
#define AF_INET6    10
#define S_IFMT	    0170000 /* include/uapi/linux/stat.h */
#define S_IFSOCK    0140000
#define PF_KTHREAD  0x00200000 /* include/linux/sched.h */
#define PID_LEVELS  33 /* MAX_PID_NS_LEVEL + 1, include/linux/pid_namespace.h */
#define RCVBUF_LOCK 2 /* SOCK_RCVBUF_LOCK, include/net/sock.h */

const volatile struct udp_process_settings settings = {};

/* Closed sockets, drained on a tick; nobody is woken. 4 MiB are some 37,000 of them. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} closed SEC(".maps");

/* Closed sockets that the ring had no room for. Written by all CPUs, atomically. */
__u64 closed_lost = 0;

/* Only here so that the skeleton has the types. */
struct udp_process_socket __unused_socket = {};
struct udp_process_buffer __unused_buffer = {};

/* The process's id in the namespace of user space; 0 when it has none there. */
static __always_inline __u32 pid_of(struct task_struct *leader)
{
	if (!settings.pid_namespace)
		return BPF_CORE_READ(leader, tgid);
	struct pid *pid = BPF_CORE_READ(leader, thread_pid);
	__u32 last = BPF_CORE_READ(pid, level);
	/* By hand: the array at the end has had no, one and any number of elements, and CO-RE checks indexes. */
	const void *numbers = (const void *)pid + bpf_core_field_offset(pid->numbers);
	for (__u32 level = 0; level < PID_LEVELS && level <= last; level++) {
		struct upid number;

		if (bpf_core_read(&number, sizeof(number), numbers + level * sizeof(number)))
			return 0;
		if (BPF_CORE_READ(number.ns, ns.inum) == settings.pid_namespace)
			return number.nr;
	}
	return 0;
}

static __always_inline void describe_process(struct task_struct *task, struct udp_process_socket *out)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);

	out->pid = pid_of(leader);
	out->started_ns = BPF_CORE_READ(leader, start_boottime);
	out->uid = BPF_CORE_READ(leader, cred, euid.val);
	out->cgroup = BPF_CORE_READ(leader, cgroups, dfl_cgrp, kn, id);
	/* A process that is ending has left its namespaces: 0. */
	out->at_home = BPF_CORE_READ(leader, nsproxy, net_ns, ns.inum) == out->netns;
	/* Threads may have names of their own; the leader's is the program's. */
	BPF_CORE_READ_INTO(&out->command, leader, comm);
}

static __always_inline void map_ipv4(__u8 *address, __be32 ipv4)
{
	__builtin_memset(address, 0, 10);
	address[10] = address[11] = 0xff;
	__builtin_memcpy(address + 12, &ipv4, sizeof(ipv4));
}

/* False when it is no UDP socket, or has no port yet and so cannot have sent or received. */
static __always_inline bool describe_socket(struct sock *sk, struct udp_process_socket *out)
{
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	if (BPF_CORE_READ(sk, sk_protocol) != IPPROTO_UDP || (family != AF_INET && family != AF_INET6))
		return false;
	out->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	if (!out->local_port)
		return false;
	out->socket = (__u64)sk;
	out->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	out->device = BPF_CORE_READ(sk, __sk_common.skc_bound_dev_if);
	out->peer_port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	out->ipv6 = family == AF_INET6;
	if (out->ipv6) {
		BPF_CORE_READ_INTO(&out->local, sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr8);
		BPF_CORE_READ_INTO(&out->peer, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr8);
		out->only_ipv6 = BPF_CORE_READ_BITFIELD_PROBED(sk, __sk_common.skc_ipv6only);
	} else {
		map_ipv4(out->local, BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
		map_ipv4(out->peer, BPF_CORE_READ(sk, __sk_common.skc_daddr));
	}
	return true;
}

/*
 * Each open file of each process. Sockets are told by their inode, and by pointing back at their file: Linux 5.10 has
 * no bpf_sock_from_file(). The reads may fail, never fault.
 */
SEC("iter/task_file")
int udp_process_files(struct bpf_iter__task_file *ctx)
{
	/* Once each: a second read has lost the check for NULL ("invalid mem access 'ptr_or_null_'"). */
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;

	if (!task || !file || (file->f_inode->i_mode & S_IFMT) != S_IFSOCK)
		return 0;
	struct socket *socket = BPF_CORE_READ(file, private_data);
	if (!socket || BPF_CORE_READ(socket, file) != file)
		return 0;
	struct sock *sk = BPF_CORE_READ(socket, sk);
	struct udp_process_socket out = {};
	if (!sk || !describe_socket(sk, &out))
		return 0;
	describe_process(task, &out);
	bpf_seq_write(ctx->meta->seq, &out, sizeof(out));
	return 0;
}

/*
 * The last file of a socket is closed, by its process or by its end. The address still is what it was. The context of
 * this hook is the kernel's struct sock, whose ports the verifier gives no access to here; reading memory is allowed.
 */
SEC("cgroup/sock_release")
int udp_process_release(struct bpf_sock *ctx)
{
	if (ctx->protocol != IPPROTO_UDP)
		return 1;
	struct udp_process_socket out = {};
	if (!describe_socket((struct sock *)ctx, &out))
		return 1;
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	out.closed_ns = bpf_ktime_get_ns();
	/* A kernel thread closes files for others. */
	if (!(BPF_CORE_READ(task, flags) & PF_KTHREAD))
		describe_process(task, &out);
	if (bpf_ringbuf_output(&closed, &out, sizeof(out), BPF_RB_NO_WAKEUP))
		__sync_fetch_and_add(&closed_lost, 1);
	return 1;
}

/* From 6.18 on a UDP socket counts drops by NUMA node, and sk_drops stays 0 (51132b99f01c). */
static __always_inline __u32 drops_of(struct sock *sk)
{
	if (bpf_core_field_exists(sk->sk_drop_counters)) {
		struct numa_drop_counters *counters = BPF_CORE_READ(sk, sk_drop_counters);

		if (counters)
			return BPF_CORE_READ(counters, drops0.counter) + BPF_CORE_READ(counters, drops1.counter);
	}
	return BPF_CORE_READ(sk, sk_drops.counter);
}

/*
 * What is read next stands first in the queue of the reader, or else in that of arrivals. Memory is used again, so its
 * address alone would not do.
 */
static __always_inline __u64 next_of(struct udp_sock *udp)
{
	struct sk_buff *next = NULL;

	if (BPF_CORE_READ(udp, reader_queue.qlen))
		next = BPF_CORE_READ(udp, reader_queue.next);
	else if (BPF_CORE_READ(udp, inet.sk.sk_receive_queue.qlen))
		next = BPF_CORE_READ(udp, inet.sk.sk_receive_queue.next);
	if (!next)
		return 0;
	return ((__u64)next * 31 + (__u64)BPF_CORE_READ(next, head)) * 31 + BPF_CORE_READ(next, tstamp);
}

/* Each bound socket of the network namespace in which the iterator was opened, the kernel's own ones, too. */
SEC("iter/udp")
int udp_process_buffers(struct bpf_iter__udp *ctx)
{
	struct udp_sock *udp = ctx->udp_sk;
	struct udp_process_buffer out = {};

	if (!udp || !describe_socket((struct sock *)udp, &out.socket))
		return 0;
	struct sock *sk = (struct sock *)udp;
	struct socket *socket = BPF_CORE_READ(sk, sk_socket);

	if (socket)
		out.inode = BPF_CORE_READ((struct socket_alloc *)socket, vfs_inode.i_ino);
	out.next = next_of(udp);
	out.receive_buffer = BPF_CORE_READ(sk, sk_rcvbuf);
	out.charged = BPF_CORE_READ(sk, sk_backlog.rmem_alloc.counter);
	out.queued = out.charged - BPF_CORE_READ(udp, forward_deficit);
	out.datagrams = BPF_CORE_READ(udp, reader_queue.qlen) + BPF_CORE_READ(sk, sk_receive_queue.qlen);
	out.drops = drops_of(sk);
	out.send_buffer = BPF_CORE_READ(sk, sk_sndbuf);
	/* It holds one for itself (sk_wmem_alloc_get). */
	out.sending = BPF_CORE_READ(sk, sk_wmem_alloc.refs.counter) - 1;
	/* It was four bits of a word before it was a byte. */
	out.chosen = !!(BPF_CORE_READ_BITFIELD_PROBED(sk, sk_userlocks) & RCVBUF_LOCK);
	bpf_seq_write(ctx->meta->seq, &out, sizeof(out));
	return 0;
}

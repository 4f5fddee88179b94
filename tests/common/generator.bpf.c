/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Gives each frame of a run its source: address and port follow from the frame's number alone, and generator.rs knows the
 * same rule. The rest of a frame is as it was handed in, but for the one checksum that the source changes.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define BE16(value) __builtin_bswap16(value)
#define BE32(value) __builtin_bswap32(value)
#else
#define BE16(value) (value)
#define BE32(value) (value)
#endif

#define XDP_DROP 1
#define XDP_TX	 3

#define IPV4_CHECKSUM 24
#define IPV4_SOURCE   26
#define IPV4_PORT     34
#define IPV6_SOURCE   30 /* its last 8 bytes */
#define IPV6_PORT     54
#define IPV6_CHECKSUM 60 /* that of UDP; with IPv4 it is 0 */

/* include/uapi/linux/bpf.h; what follows is not used */
struct xdp_md {
	u32 data, data_end;
};

/* Written by generator.rs before a run, but for `sent`, which the program alone writes. */
struct {
	u64 sent; /* frames so far: the number of the next one */
	u64 first; /* number of the first source */
	u64 sources; /* so many, in turn; 0: each frame has its own, from all over the address space */
	u32 sum; /* of all that the checksum covers but the source, in words as they lie there */
	u32 is_ipv6;
} generator __attribute__((section(".data"), used)) = { 0 };

/* Two different numbers of 31 bits stay different: each step can be undone. Below 128.0.0.0 nothing is a group. */
#define BITS31 0x7fffffff
static inline u32 mix31(u32 n)
{
	n &= BITS31;
	n = (n ^ n >> 16) * 0x9e3779b1 & BITS31;
	n = (n ^ n >> 15) * 0x9e3779b1 & BITS31;
	return n ^ n >> 16;
}

static inline u64 mix64(u64 n)
{
	n = (n ^ n >> 32) * 0x9e3779b97f4a7c15;
	n = (n ^ n >> 29) * 0x9e3779b97f4a7c15;
	return n ^ n >> 32;
}

static inline u32 words(u32 value)
{
	return (value >> 16) + (value & 0xffff);
}

/* Fields of a frame lie at even places only. Value and frame are in the same byte order. */
static inline void store(u8 *place, u32 value)
{
	((u16 *)place)[0] = ((u16 *)&value)[0];
	((u16 *)place)[1] = ((u16 *)&value)[1];
}

static inline u16 checksum(u32 sum)
{
	return ~words(words(sum));
}

__attribute__((section("xdp"), used)) int generate(struct xdp_md *context)
{
	u8 *frame = (void *)(long)context->data;
	void *end = (void *)(long)context->data_end;
	u64 n = generator.first + (generator.sources ? generator.sent % generator.sources : generator.sent);
	u16 port = BE16((u16)(32768 + (n & 0x7fff)));

	if (generator.is_ipv6) {
		u64 host = generator.sources ? n >> 15 : mix64(n);
		u32 high = BE32((u32)(host >> 32)), low = BE32((u32)host);

		if ((void *)(frame + IPV6_CHECKSUM + 2) > end)
			return XDP_DROP;
		store(frame + IPV6_SOURCE, high);
		store(frame + IPV6_SOURCE + 4, low);
		*(u16 *)(frame + IPV6_PORT) = port;
		*(u16 *)(frame + IPV6_CHECKSUM) = checksum(generator.sum + words(high) + words(low) + port) ?: 0xffff;
	} else {
		u32 host = generator.sources ? 0x0a630000 + (u32)(n >> 15) : mix31(n); /* 10.99.0.0 */
		u32 address = BE32(host);

		if ((void *)(frame + IPV4_PORT + 2) > end)
			return XDP_DROP;
		store(frame + IPV4_SOURCE, address);
		*(u16 *)(frame + IPV4_PORT) = port;
		*(u16 *)(frame + IPV4_CHECKSUM) = checksum(generator.sum + words(address));
	}
	generator.sent++;
	return XDP_TX;
}

char terms[] __attribute__((section("license"), used)) = "Dual BSD/GPL";

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which message a datagram is, in 32 bits: so that an answer is timed from its own request, and a request that is asked again
 * is known.
 *
 * Where the protocol has an id that the answer repeats, it is that id, and BY_ID is set. Else it is a hash of the first bytes: it
 * tells a request from the one before, and nothing of the answer. Payloads are hostile input: what they can do is to spoil the times
 * of their own connection.
 */
#ifndef MESSAGE_H
#define MESSAGE_H

#define MAX_OFFSET    0x7fff /* a bound that the verifier sees, past every chain of headers */
#define FIRST_BYTES   16 /* of the payload */
#define NTP_PORT      123
#define SNMP_PORT     161
#define NTP_ORIGIN    24 /* where an answer repeats the time of its request (RFC 5905 7.3) */
#define NTP_TRANSMIT  40 /* where the request has it */
#define NTP_CLIENT    3
#define NTP_SERVER    4
#define STUN_COOKIE   0x2112a442 /* RFC 8489 5 */
#define COAP_VERSION  1
#define COAP_ACK      2
#define COAP_RESET    3
#define COAP_RESPONSE 0x40 /* codes of answers begin here, 2.00; requests end at half of it */
#define BER_SEQUENCE  0x30
#define BER_INTEGER   0x02
#define BER_OCTETS    0x04
#define BER_LONG      0x80
#define SNMP_V3	      3

/* From the context to memory; 0 when it is done. Kernels before 5.18 have no helper for XDP; a frame has one buffer there. */
static __always_inline long load_xdp(struct xdp_md *ctx, __u32 offset, void *to, __u32 bytes)
{
	void *start, *end;

	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_xdp_load_bytes))
		return bpf_xdp_load_bytes(ctx, offset, to, bytes);
	start = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	start += offset & MAX_OFFSET;
	if (start + bytes > end)
		return -1;
	return bpf_probe_read_kernel(to, bytes, start);
}

static __always_inline long load_skb(struct __sk_buff *ctx, __u32 offset, void *to, __u32 bytes)
{
	return bpf_skb_load_bytes(ctx, offset, to, bytes);
}

/* The first bytes of a payload, in two words; what is not there is 0. */
struct first_bytes {
	__u64 words[FIRST_BYTES / 8];
};

/* The same where they lie in the frame's first buffer, as they nearly always do. */
static __always_inline bool see_first_bytes(void *start, void *end, __u32 offset, struct first_bytes *first)
{
	start += offset & MAX_OFFSET;
	if (start + sizeof(*first) > end)
		return false;
	*first = *(struct first_bytes *)start;
	return true;
}

static __always_inline __u32 hash_word(__u64 word)
{
	return word * 0x9e3779b97f4a7c15ULL >> 33;
}

/* A hash of the first bytes, never 0 and without BY_ID. */
static __always_inline __u32 hash_message(const struct first_bytes *first)
{
	return hash_word(first->words[0] ^ hash_word(first->words[1])) | 1;
}

/* Byte `at` of the first ones: `at` is below FIRST_BYTES. */
static __always_inline __u8 byte_at(const struct first_bytes *first, __u32 at)
{
	return first->words[at / 8 & 1] >> at % 8 * 8;
}

/* The id of a RADIUS packet (RFC 2865 3): a code that there is, and a length that can be. */
static __always_inline __u32 radius_id(__u64 word)
{
	__u8 code = word;
	__u16 length = bpf_ntohs(word >> 16);

	if (!code || (code > 13 && (code < 40 || code > 45)) || length < 20 || length > 4096)
		return NO_MESSAGE;
	return BY_ID | (word >> 8 & 0xff);
}

/* The id of a CoAP message (RFC 7252 3): of a request, or of what acknowledges it. Any other answer has an id of its own. */
static __always_inline __u32 coap_id(__u64 word)
{
	__u8 version = word >> 6 & 3, kind = word >> 4 & 3, token_bytes = word & 15, code = word >> 8;
	__u32 id = BY_ID | (word >> 16 & 0xffff);

	if (version != COAP_VERSION || token_bytes > 8)
		return NO_MESSAGE;
	if (kind == COAP_RESET || (kind == COAP_ACK && !code))
		return code || token_bytes ? NO_MESSAGE : id;
	if (kind == COAP_ACK)
		return code >= COAP_RESPONSE ? id : NO_MESSAGE;
	return code && code < COAP_RESPONSE / 2 ? id : NO_MESSAGE;
}

/* The id of a DNS message, a RADIUS packet, a CoAP or a STUN message; NO_MESSAGE if it is none or has none. */
static __always_inline __u32 id_of_start(const struct first_bytes *first, __u16 port)
{
	__u64 word = first->words[0];

	switch (port) {
	case 53: /* DNS */
		return BY_ID | (word & 0xffff);
	case 1812: /* RADIUS, accounting, dynamic authorization, and the ports before these had numbers */
	case 1813:
	case 1645:
	case 1646:
	case 3799:
		return radius_id(word);
	case 5683:
		return coap_id(word);
	}
	if ((__u32)(word >> 32) == bpf_htonl(STUN_COOKIE))
		return BY_ID | hash_word(first->words[1]);
	return NO_MESSAGE;
}

/*
 * Where the id of an SNMP message lies in its payload: behind the community (RFC 3416 3), or in the header of version 3 (RFC 3412 6).
 * Returns the offset of its identifier octet; of the PDU in the first case, which `is_pdu` says. 0 where that is not clear.
 */
static __always_inline __u32 snmp_offset(const struct first_bytes *first, bool *is_pdu)
{
	__u32 at = 2, length = byte_at(first, 1);

	if (byte_at(first, 0) != BER_SEQUENCE)
		return 0;
	if (length > BER_LONG)
		at += length == BER_LONG + 1 ? 1 : 2;
	if (byte_at(first, at) != BER_INTEGER || byte_at(first, at + 1) != 1)
		return 0;
	*is_pdu = byte_at(first, at + 2) != SNMP_V3;
	at += 3;
	length = byte_at(first, at + 1);
	if (!*is_pdu)
		return byte_at(first, at) == BER_SEQUENCE ? at + 2 : 0;
	if (byte_at(first, at) != BER_OCTETS || length >= BER_LONG)
		return 0;
	return at + 2 + length;
}

/* The id in the bytes that snmp_offset() has found. */
static __always_inline __u32 snmp_id(const struct first_bytes *found, bool is_pdu)
{
	__u32 at = 0, length, id = 0;

	if (is_pdu) {
		length = byte_at(found, 1);
		at = length > BER_LONG + 1 ? 4 : length > BER_LONG ? 3 : 2;
	}
	length = byte_at(found, at + 1);
	if (byte_at(found, at) != BER_INTEGER || !length || length > 4)
		return NO_MESSAGE;
#pragma unroll
	for (__u32 i = 0; i < 4; i++) {
		if (i < length)
			id = id << 8 | byte_at(found, at + 2 + i);
	}
	return BY_ID | id;
}

static __always_inline long load_bytes(void *ctx, const bool xdp, __u32 offset, void *to, __u32 bytes)
{
	return xdp ? load_xdp(ctx, offset, to, bytes) : load_skb(ctx, offset, to, bytes);
}

/* The id of an NTP packet: when its request was sent. */
static __always_inline __u32 read_ntp(void *ctx, const bool xdp, __u32 payload, const struct first_bytes *first)
{
	__u8 mode = first->words[0] & 7;
	__u64 time = 0;

	if (mode != NTP_CLIENT && mode != NTP_SERVER)
		return NO_MESSAGE;
	if (load_bytes(ctx, xdp, payload + (mode == NTP_CLIENT ? NTP_TRANSMIT : NTP_ORIGIN), &time, sizeof(time)) ||
	    !time)
		return NO_MESSAGE;
	return BY_ID | hash_word(time);
}

static __always_inline __u32 read_snmp(void *ctx, const bool xdp, __u32 payload, const struct first_bytes *first)
{
	bool is_pdu = false;
	__u32 at = snmp_offset(first, &is_pdu);
	struct first_bytes found;

	if (!at || load_bytes(ctx, xdp, payload + at, &found, sizeof(found)))
		return NO_MESSAGE;
	return snmp_id(&found, is_pdu);
}

/* The message of a datagram whose UDP header is at `offset`. `ports`: host order, source << 16 | destination. */
static __always_inline __u32 read_message(void *ctx, const bool xdp, __u32 offset, __u32 ports)
{
	void *start = xdp ? (void *)(long)((struct xdp_md *)ctx)->data : (void *)(long)((struct __sk_buff *)ctx)->data;
	void *end = xdp ? (void *)(long)((struct xdp_md *)ctx)->data_end
			: (void *)(long)((struct __sk_buff *)ctx)->data_end;
	__u32 payload = offset + sizeof(struct udp_header), id;
	__u16 source = ports >> 16, destination = ports;
	struct first_bytes first = {};

	if (!see_first_bytes(start, end, payload, &first) && load_bytes(ctx, xdp, payload, &first, sizeof(first)) &&
	    load_bytes(ctx, xdp, payload, &first, 8) && load_bytes(ctx, xdp, payload, &first, 4))
		return NO_MESSAGE;
	id = id_of_start(&first, destination);
	if (!id)
		id = id_of_start(&first, source);
	if (!id && (destination == NTP_PORT || source == NTP_PORT))
		id = read_ntp(ctx, xdp, payload, &first);
	if (!id && (destination == SNMP_PORT || source == SNMP_PORT))
		id = read_snmp(ctx, xdp, payload, &first);
	return id ? id : hash_message(&first);
}

/* Global functions: the verifier checks each once, not once for each way in which a frame may have been parsed. */
__noinline __u32 udp_track_message_xdp(struct xdp_md *ctx, __u32 offset, __u32 ports)
{
	return read_message(ctx, true, offset, ports);
}

/* What the kernel has merged, or will split, is several datagrams: it is the first of them. */
__noinline __u32 udp_track_message_skb(struct __sk_buff *ctx, __u32 offset, __u32 ports)
{
	return read_message(ctx, false, offset, ports);
}

#endif

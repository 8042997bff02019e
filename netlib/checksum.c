/*
 * Internet checksums: RFC 1071 (whole), RFC 1624 (repair). Sums are taken over 16-bit words as they
 * lie in memory, so nothing here depends on the machine's byte order. Called by NFs.
 */
#include <arpa/inet.h>
#include <string.h>

#include <netvm.h>

static uint16_t fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* Adding 32 bits at a time gives the same sum modulo 2^16 - 1 (RFC 1071, 2). */
static uint64_t sum_bytes(const void *data, uint32_t length, uint64_t sum)
{
	const uint8_t *at = data;
	uint32_t word;
	uint16_t half = 0;

	for (; length >= sizeof(word); length -= 4, at += 4) {
		memcpy(&word, at, sizeof(word));
		sum += word;
	}
	if (length >= 2) {
		memcpy(&half, at, 2);
		sum += half;
		at += 2;
		length -= 2;
	}
	if (length) {
		half = 0;
		memcpy(&half, at, 1);
		sum += half;
	}
	return sum;
}

uint16_t netvm_checksum(const void *data, uint32_t length, uint32_t initial)
{
	return (uint16_t)~fold(sum_bytes(data, length, initial));
}

/* HC' = ~(~HC + ~m + m'), RFC 1624 equation 3. */
uint16_t netvm_checksum_update16(uint16_t checksum, uint16_t old_value, uint16_t new_value)
{
	return (uint16_t)~fold((uint64_t)(uint16_t)~checksum + (uint16_t)~old_value + new_value);
}

uint16_t netvm_checksum_update32(uint16_t checksum, uint32_t old_value, uint32_t new_value)
{
	return (uint16_t)~fold((uint64_t)(uint16_t)~checksum + (uint32_t)~old_value + new_value);
}

/* RFC 793 3.1, RFC 768, RFC 8200 8.1: addresses, protocol, length of layer 4. */
static uint64_t pseudo_header(const struct netvm_headers *headers, uint32_t length)
{
	const uint8_t tail[4] = {0, headers->protocol, (uint8_t)(length >> 8), (uint8_t)length};

	if (headers->ipv4)
		return sum_bytes(&headers->ipv4->src, 8, sum_bytes(tail, 4, 0));
	return sum_bytes(headers->ipv6->src, 32, sum_bytes(tail, 4, 0));
}

static uint32_t bytes_from(const struct netvm_headers *headers, const void *layer4)
{
	return (uint32_t)(headers->payload - (const uint8_t *)layer4) + headers->payload_length;
}

static void fix_udp(struct netvm_headers *headers)
{
	struct netvm_udp *udp = headers->udp;
	uint32_t length = bytes_from(headers, udp);
	uint32_t said = ntohs(udp->length);

	if (said >= sizeof(*udp) && said < length) /* what lies behind is not covered */
		length = said;
	udp->checksum = 0;
	udp->checksum = (uint16_t)~fold(sum_bytes(udp, length, pseudo_header(headers, length)));
	if (udp->checksum == 0) /* 0 on the wire means none, RFC 768 */
		udp->checksum = 0xffff;
}

static void fix_tcp(struct netvm_headers *headers)
{
	uint32_t length = bytes_from(headers, headers->tcp);

	headers->tcp->checksum = 0;
	headers->tcp->checksum =
		(uint16_t)~fold(sum_bytes(headers->tcp, length, pseudo_header(headers, length)));
}

static void fix_icmp(struct netvm_headers *headers)
{
	uint32_t length = bytes_from(headers, headers->icmp);
	uint64_t initial = headers->ipv6 ? pseudo_header(headers, length) : 0;

	headers->icmp->checksum = 0;
	headers->icmp->checksum = (uint16_t)~fold(sum_bytes(headers->icmp, length, initial));
}

/* The length comes from the parsed pointers: in the packet it may have been changed since. */
static void fix_ipv4(struct netvm_headers *headers)
{
	const uint8_t *end = headers->payload;

	if (headers->tcp)
		end = (const uint8_t *)headers->tcp;
	else if (headers->udp)
		end = (const uint8_t *)headers->udp;
	else if (headers->icmp)
		end = (const uint8_t *)headers->icmp;
	headers->ipv4->checksum = 0;
	headers->ipv4->checksum =
		netvm_checksum(headers->ipv4, (uint32_t)(end - (const uint8_t *)headers->ipv4), 0);
}

void netvm_checksum_fix(struct netvm_headers *headers)
{
	if (headers->ipv4)
		fix_ipv4(headers);
	if (headers->fragment)
		return;
	if (headers->tcp)
		fix_tcp(headers);
	else if (headers->udp)
		fix_udp(headers);
	else if (headers->icmp)
		fix_icmp(headers);
}

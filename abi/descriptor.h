/*
 * The descriptor: the one 64-bit word that stands for a packet on a ring.
 *
 *   63      56 55          42 41          28 27      20 19               0
 *  +----------+--------------+--------------+----------+------------------+
 *  | verdict  |    length    |    offset    |generation|  buffer index    |
 *  |  8 bits  |   14 bits    |   14 bits    |  8 bits  |     20 bits      |
 *  +----------+--------------+--------------+----------+------------------+
 *                                            \________ handle ___________/
 *
 * index       which buffer slot of the trust group's memory
 * generation  grows each time the slot is given back; an old handle is refused
 * offset      first byte of the packet, counted from the start of the slot
 * length      bytes of packet from there
 * verdict     host to NF: the destination that "next" means for this packet
 *             NF to host: what to do with it (enum netvm_verdict or a destination)
 *
 * A word is read with one 8-byte load, so it cannot change between check and use.
 * The packet's address is  group memory + buffer_offset + index * stride + offset:
 * one multiply-add, with no table of regions to search.
 *
 * Thread-safety: pure functions on values.
 */
#ifndef NETVM_ABI_DESCRIPTOR_H
#define NETVM_ABI_DESCRIPTOR_H

#include <stdint.h>

#include "static_assert.h"

#define NETVM_INDEX_BITS      20
#define NETVM_GENERATION_BITS 8
#define NETVM_OFFSET_BITS     14
#define NETVM_LENGTH_BITS     14
#define NETVM_VERDICT_BITS    8

#define NETVM_GENERATION_SHIFT NETVM_INDEX_BITS
#define NETVM_OFFSET_SHIFT     (NETVM_GENERATION_SHIFT + NETVM_GENERATION_BITS)
#define NETVM_LENGTH_SHIFT     (NETVM_OFFSET_SHIFT + NETVM_OFFSET_BITS)
#define NETVM_VERDICT_SHIFT    (NETVM_LENGTH_SHIFT + NETVM_LENGTH_BITS)

#define NETVM_BUFFERS_MAX      (UINT32_C(1) << NETVM_INDEX_BITS)
#define NETVM_BUFFER_BYTES_MAX (UINT32_C(1) << NETVM_OFFSET_BITS)
#define NETVM_DESTINATIONS_MAX (1u << NETVM_VERDICT_BITS)
#define NETVM_HANDLE_MASK      ((UINT64_C(1) << NETVM_OFFSET_SHIFT) - 1)

/*
 * Verdicts below NETVM_VERDICT_FIRST_DESTINATION have a fixed meaning; the others index the
 * destination table in the channel, which lists what the manager granted this NF.
 */
enum netvm_verdict {
	NETVM_VERDICT_NEXT = 0,    /* go on in the packet's chain (received packets only) */
	NETVM_VERDICT_DROP = 1,    /* end here, counted as a drop by this NF */
	NETVM_VERDICT_CONSUME = 2, /* end here as intended: the NF was the packet's end point */
	NETVM_VERDICT_FIRST_DESTINATION = 3,
};

static inline uint32_t netvm_desc_index(uint64_t word)
{
	return (uint32_t)(word & (NETVM_BUFFERS_MAX - 1));
}

static inline uint32_t netvm_desc_generation(uint64_t word)
{
	return (uint32_t)(word >> NETVM_GENERATION_SHIFT) & ((1u << NETVM_GENERATION_BITS) - 1);
}

static inline uint32_t netvm_desc_offset(uint64_t word)
{
	return (uint32_t)(word >> NETVM_OFFSET_SHIFT) & ((1u << NETVM_OFFSET_BITS) - 1);
}

static inline uint32_t netvm_desc_length(uint64_t word)
{
	return (uint32_t)(word >> NETVM_LENGTH_SHIFT) & ((1u << NETVM_LENGTH_BITS) - 1);
}

static inline uint32_t netvm_desc_verdict(uint64_t word)
{
	return (uint32_t)(word >> NETVM_VERDICT_SHIFT);
}

/* Arguments must be below their field's limit; higher bits would spill into the next field. */
static inline uint64_t netvm_desc(
	uint32_t index, uint32_t generation, uint32_t offset, uint32_t length, uint32_t verdict)
{
	return (uint64_t)index | (uint64_t)generation << NETVM_GENERATION_SHIFT |
	       (uint64_t)offset << NETVM_OFFSET_SHIFT | (uint64_t)length << NETVM_LENGTH_SHIFT |
	       (uint64_t)verdict << NETVM_VERDICT_SHIFT;
}

static inline uint64_t netvm_desc_set_verdict(uint64_t word, uint32_t verdict)
{
	return (word & ((UINT64_C(1) << NETVM_VERDICT_SHIFT) - 1)) | (uint64_t)verdict
									     << NETVM_VERDICT_SHIFT;
}

/* Same handle and verdict, another place in the buffer. */
static inline uint64_t netvm_desc_set_extent(uint64_t word, uint32_t offset, uint32_t length)
{
	const uint64_t keep = NETVM_HANDLE_MASK | ~((UINT64_C(1) << NETVM_VERDICT_SHIFT) - 1);

	return (word & keep) | (uint64_t)offset << NETVM_OFFSET_SHIFT |
	       (uint64_t)length << NETVM_LENGTH_SHIFT;
}

_Static_assert(NETVM_VERDICT_SHIFT + NETVM_VERDICT_BITS == 64, "a descriptor is one 64-bit word");

#endif

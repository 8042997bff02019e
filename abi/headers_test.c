/* Uses each header once, so that the inline functions are compiled. */
#include "channel.h"
#include "descriptor.h"
#include "flow.h"
#include "guest.h"
#include "ring.h"
#include "socket.h"

/* Freestanding code may still call these four (GCC manual, "Language Standards"). */
uint64_t headers_use(struct netvm_ring_end *end, void *ring, const uint8_t *data);

uint64_t headers_use(struct netvm_ring_end *end, void *ring, const uint8_t *data)
{
	struct netvm_flow_key key;
	struct netvm_message message = {NETVM_SOCKET_MAGIC, NETVM_MESSAGE_HELLO, 0, 0};
	uint64_t word = netvm_desc_set_verdict(netvm_desc(1, 2, 192, 64, 0), NETVM_VERDICT_DROP);

	netvm_ring_end_init(end, ring, NETVM_RING_WORDS_MIN);
	if (netvm_ring_room(end, 1) > 0)
		netvm_ring_stage(end, netvm_desc_set_extent(word, 64, 60));
	netvm_ring_publish(end);
	(void)netvm_ring_take(end, &word, 1);
	netvm_flow_extract(data, netvm_desc_length(word), &key);
	return netvm_flow_hash(&key) + message.magic + sizeof(struct netvm_channel) +
	       NETVM_GUEST_RING(NETVM_GUEST_WORKER(0));
}

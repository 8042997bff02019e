/* @NAME@: a network function that drops telnet and lets everything else go on in its chain. */
#include <netvm.h>

#define TELNET_PORT 23

static bool is_telnet(const struct netvm *nf, const struct netvm_packet *pkt)
{
	struct netvm_headers headers;

	/* A malformed packet is none of our business: it has no TCP header and goes on. */
	netvm_parse(nf, pkt, &headers);
	return headers.tcp && headers.dst_port == TELNET_PORT;
}

static void burst(struct netvm *nf, struct netvm_packet *pkts, unsigned n, void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < n; i++)
		if (is_telnet(nf, &pkts[i]))
			netvm_drop(&pkts[i]);
}

int main(int argc, char **argv)
{
	return netvm_main(argc, argv, &(struct netvm_options){.burst = burst});
}

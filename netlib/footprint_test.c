/*
 * The NF of netvm.h, linked statically: footprint_test.sh looks at its size.
 */
#include <netvm.h>

static void no_telnet(struct netvm *nf, struct netvm_packet *pkts, unsigned n, void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < n; i++) {
		struct netvm_headers h;

		if (netvm_parse(nf, &pkts[i], &h) == 0 && h.tcp && h.dst_port == 23)
			netvm_drop(&pkts[i]);
	}
}

int main(int argc, char **argv)
{
	return netvm_main(argc, argv, &(struct netvm_options){.burst = no_telnet});
}

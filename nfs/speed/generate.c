/* The generator's loop. See generate.h. */
#include "speed/generate.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

#include "common/background.h"

#define SECOND_NS   UINT64_C(1000000000)
#define BEHIND_MAX  (16 * NETVM_BURST_MAX) /* packets to catch up on; more are missed */
#define RETRY_NS    (SECOND_NS / 10)
#define WAIT_MAX_NS (SECOND_NS / 100)

struct generator {
	const struct generate_options *options;
	struct meter *meter;
	struct netvm *nf;
	unsigned verdict;
	uint32_t destination_version;
	uint64_t start_ns;
	uint64_t scheduled; /* packets sent or missed */
	uint64_t sent;
	uint64_t received;
	uint32_t *sequence; /* per flow: of its next packet */
	struct frame frame;
};

/* Receive and consume. Returns the number received or -errno as netvm_receive(). */
static int take(struct generator *generator, uint64_t timeout_ns)
{
	struct netvm_packet pkts[NETVM_BURST_MAX];
	int n = netvm_receive(generator->nf, pkts, NETVM_BURST_MAX, timeout_ns);

	if (n <= 0)
		return n;
	meter_received(generator->meter, generator->nf, pkts, (unsigned)n);
	for (int i = 0; i < n; i++)
		netvm_consume(&pkts[i]);
	netvm_send(generator->nf, pkts, (unsigned)n);
	generator->received += (unsigned)n;
	return n;
}

static int destination_find(struct generator *generator)
{
	const struct generate_options *options = generator->options;
	int verdict;

	generator->destination_version = netvm_destination_version(generator->nf);
	verdict = options->to
			  ? netvm_destination(generator->nf, NETVM_DESTINATION_PORT, options->to)
			  : netvm_destination(
				    generator->nf, NETVM_DESTINATION_SERVICE, options->through);
	if (verdict < 0)
		return verdict;
	generator->verdict = (unsigned)verdict;
	return 0;
}

/* Wait until the manager grants the destination. 0, or -errno as netvm_receive(). */
static int destination_wait(struct generator *generator)
{
	bool told = false;

	while (destination_find(generator)) {
		int n = take(generator, RETRY_NS);

		if (n < 0)
			return n;
		if (!told)
			fprintf(stderr, "netvm-speed: %s: not granted yet, waiting for it\n",
				generator->options->to ? generator->options->to
						       : generator->options->through);
		told = true;
	}
	return 0;
}

/* How many packets to send now. */
static unsigned packets_due(struct generator *generator, uint64_t now_ns)
{
	const struct generate_options *options = generator->options;
	uint64_t due = NETVM_BURST_MAX;

	if (options->rate_pps) {
		__extension__ typedef unsigned __int128 wide;
		wide all = (wide)(now_ns - generator->start_ns) * options->rate_pps / SECOND_NS;

		due = (uint64_t)all - generator->scheduled;
	}
	if (due > BEHIND_MAX) {
		meter_missed(generator->meter, due - BEHIND_MAX);
		generator->scheduled += due - BEHIND_MAX;
		due = BEHIND_MAX;
	}
	if (options->n_pkts && due > options->n_pkts - generator->sent)
		due = options->n_pkts - generator->sent;
	return due < NETVM_BURST_MAX ? (unsigned)due : NETVM_BURST_MAX;
}

static int packet_fill(struct generator *generator, struct netvm_packet *pkt, uint64_t now_ns)
{
	const struct generate_options *options = generator->options;
	uint16_t flow = (uint16_t)(generator->scheduled % options->n_flows);
	struct frame_stamp stamp = {
		.sequence = generator->sequence[flow], .flow = flow, .sent_ns = now_ns};
	uint8_t *data = netvm_append(generator->nf, pkt, (uint32_t)options->size_bytes);

	if (!data)
		return -EMSGSIZE;
	frame_write(&generator->frame, flow, options->stamps ? &stamp : NULL, data);
	netvm_to(pkt, generator->verdict);
	generator->sequence[flow]++;
	generator->scheduled++;
	generator->sent++;
	return 0;
}

/* Send what is due, as far as there are buffers. Returns the number sent or -EMSGSIZE. */
static int give(struct generator *generator, uint64_t now_ns)
{
	struct netvm_packet pkts[NETVM_BURST_MAX];
	unsigned n = netvm_alloc(generator->nf, pkts, packets_due(generator, now_ns));
	int error = 0;

	for (unsigned i = 0; i < n && !error; i++)
		error = packet_fill(generator, &pkts[i], now_ns);
	netvm_send(generator->nf, pkts, n);
	if (error)
		return error;
	if (n)
		meter_sent(generator->meter, n, n * generator->options->size_bytes);
	return (int)n;
}

/* How long nothing is to be sent; 0 when polling was asked for. */
static uint64_t idle_ns(const struct generator *generator, uint64_t now_ns)
{
	const struct generate_options *options = generator->options;
	uint64_t next_ns;

	if (!options->rate_pps || options->netvm->busy)
		return 0;
	next_ns = generator->start_ns +
		  (uint64_t)((double)(generator->scheduled + 1) * 1e9 / (double)options->rate_pps);
	if (next_ns <= now_ns)
		return 0;
	return next_ns - now_ns < WAIT_MAX_NS ? next_ns - now_ns : WAIT_MAX_NS;
}

static bool finished(const struct generator *generator, uint64_t now_ns)
{
	const struct generate_options *options = generator->options;

	return (options->n_pkts && generator->sent >= options->n_pkts) ||
	       (options->duration_ns && now_ns - generator->start_ns >= options->duration_ns);
}

/* One turn: send, receive. Returns 0 or -errno. */
static int turn(struct generator *generator, uint64_t now_ns)
{
	int sent, received;

	if (generator->destination_version != netvm_destination_version(generator->nf)) {
		int error = destination_wait(generator);

		if (error)
			return error;
	}
	sent = give(generator, now_ns);
	if (sent < 0)
		return sent;
	received = take(generator, sent ? 0 : idle_ns(generator, now_ns));
	if (sent == 0 && received == 0 && !generator->options->netvm->busy)
		sched_yield(); /* the host must run to refill the stock */
	return received < 0 ? received : 0;
}

/* Wait for packets that are still on their way back. */
static int stragglers_take(struct generator *generator)
{
	uint64_t end_ns = monotonic_ns() + SECOND_NS;
	int n = 0;

	netvm_flush(generator->nf);
	while (generator->received && generator->received < generator->sent && n >= 0 &&
		monotonic_ns() < end_ns)
		n = take(generator, RETRY_NS);
	return n < 0 ? n : 0;
}

static int generator_loop(struct generator *generator)
{
	uint64_t now_ns;
	int error = destination_wait(generator);

	generator->start_ns = now_ns = monotonic_ns();
	for (; !error && !finished(generator, now_ns); now_ns = monotonic_ns())
		error = turn(generator, now_ns);
	if (!error)
		error = stragglers_take(generator);
	return error == -ECANCELED ? 0 : error;
}

static void on_signal(int number)
{
	(void)number;
	netvm_stop();
}

int generate_run(const struct generate_options *options, struct meter *meter)
{
	struct generator generator = {.options = options, .meter = meter};
	int error;

	generator.sequence = calloc(options->n_flows, sizeof(*generator.sequence));
	if (!generator.sequence)
		return -ENOMEM;
	frame_init(&generator.frame, (uint32_t)options->size_bytes);
	sigaction(SIGINT, &(struct sigaction){.sa_handler = on_signal}, NULL);
	sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_signal}, NULL);
	error = netvm_attach(options->netvm, &generator.nf);
	if (!error) {
		error = generator_loop(&generator);
		netvm_detach(generator.nf);
	}
	free(generator.sequence);
	return error;
}

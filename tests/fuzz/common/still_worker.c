/* Workers without threads. See still_worker.h. */
#include "tests/fuzz/common/still_worker.h"

#include <rte_cycles.h>

#include "engine/datapath.h"
#include "tests/fuzz/fuzz.h"

unsigned still_worker_turn(struct worker *worker)
{
	unsigned moved;

	worker->now_tsc = rte_rdtsc();
	moved = hold_turn(worker);
	moved += output_turn(worker);
	moved += border_turn(worker);
	moved += input_turn(worker);
	border_publish(worker);
	output_publish(worker);
	output_flush(worker);
	return moved;
}

/* Files are watched by nobody: the target knows when there is work. */
int worker_start(struct worker *worker, struct error *error)
{
	(void)error;
	worker->epoll_fd = worker->wake_fd = -1;
	return 0;
}

void worker_stop(struct worker *worker)
{
	(void)worker;
}

void worker_wake(struct worker *worker)
{
	(void)worker;
}

void workers_halt(struct engine *engine, void (*function)(void *arg), void *arg)
{
	(void)engine;
	function(arg);
}

void workers_call(
	struct engine *engine, void (*function)(struct worker *worker, void *arg), void *arg)
{
	for (unsigned i = 0; i < engine->n_workers; i++)
		function(engine->worker[i], arg);
}

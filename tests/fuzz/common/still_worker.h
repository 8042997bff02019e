/*
 * Workers without threads: linked in front of the engine, still_worker.c takes the place of
 * engine/worker.c. The target itself lets a worker turn, so an input means the same in every run.
 */
#ifndef NETVM_TESTS_FUZZ_STILL_WORKER_H
#define NETVM_TESTS_FUZZ_STILL_WORKER_H

struct worker;

/* One turn of the loop, as engine/worker.c does it; returns the number of packets moved. */
unsigned still_worker_turn(struct worker *worker);

#endif

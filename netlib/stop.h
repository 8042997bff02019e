/*
 * netvm_stop(): one request for the whole process, seen by every loop and by every sleeper.
 *
 * Those who want to be stoppable enter and leave; the last one to leave forgets the request, so
 * that a program can run again after a stop. A request that comes before anybody entered stays.
 */
#ifndef NETVM_NETLIB_STOP_H
#define NETVM_NETLIB_STOP_H

#include <stdbool.h>

int stop_enter(void); /* -errno when there is no eventfd to be had */
void stop_leave(void);

bool stop_requested(void);

/* Readable from the request on. Valid between enter and leave. */
int stop_fd(void);

#endif

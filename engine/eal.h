/*
 * DPDK's environment abstraction layer, started on first use. Control thread. Returns 0, or -errno
 * with the reason when DPDK cannot start at all.
 */
#ifndef NETVM_ENGINE_EAL_H
#define NETVM_ENGINE_EAL_H

#include "common/error.h"

int eal_start(struct error *error);

#endif

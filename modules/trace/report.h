/* A trace as JSON, for the answer of trace.run. Called by control.c. */
#ifndef NETVM_MODULES_TRACE_REPORT_H
#define NETVM_MODULES_TRACE_REPORT_H

#include <jansson.h>

#include "engine/trace.h"

/*
 * {"packets": [...], "complete": ...}, see README.md. `document`: the running one, complete.
 * `epoch_ns` is what CLOCK_REALTIME shows when CLOCK_MONOTONIC shows 0. New reference.
 */
json_t *report_value(const struct trace *trace, const json_t *document, uint64_t epoch_ns);

#endif

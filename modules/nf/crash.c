/* What is kept of crashes. See crash.h. */
#include "modules/nf/crash.h"

#include <stdio.h>

#include "common/clock.h"

void crash_begin(struct crash *crash)
{
	if (crash->now.time_ns)
		return;
	crash->now.time_ns = clock_ns(CLOCK_REALTIME);
	crash->now.began_ns = clock_ns(CLOCK_MONOTONIC);
}

void crash_reclaimed(struct crash *crash, unsigned lost_pkts)
{
	crash->now.reclaim_ns = clock_ns(CLOCK_MONOTONIC) - crash->now.began_ns;
	crash->now.lost_pkts = lost_pkts;
}

void crash_cause(struct crash *crash, const char *cause)
{
	snprintf(crash->now.cause, sizeof(crash->now.cause), "%s", cause);
}

void crash_end(struct crash *crash, bool clean, const char *end)
{
	struct crash_record *now = &crash->now;

	if (!clean) {
		snprintf(now->reason, sizeof(now->reason), "%s%s%s", now->cause,
			now->cause[0] && *end ? "; " : "", end);
		crash->count++;
		crash->last = *now;
	}
	*now = (struct crash_record){0};
}

json_t *crash_value(const struct crash *crash)
{
	const struct crash_record *last = &crash->last;

	if (crash->count == 0)
		return json_pack("{s:i}", "count", 0);
	return json_pack("{s:i s:s s:I s:I s:i}", "count", (int)crash->count, "reason",
		last->reason, "time_ns", (json_int_t)last->time_ns, "reclaim_ns",
		(json_int_t)last->reclaim_ns, "lost_pkts", (int)last->lost_pkts);
}

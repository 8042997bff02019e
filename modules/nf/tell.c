/* Events about NFs. See tell.h. */
#include "modules/nf/tell.h"

#include <stdarg.h>
#include <stdio.h>

#include "abi/channel.h"
#include "manager/events.h"

/* Per second that become events; more are counted, not told. */
#define COMPLAINTS_PER_S 10

static void add(const char *name, const char *kind, const char *text, const char *more)
{
	char object[8 + NETVM_NAME_BYTES] = "";

	if (name[0])
		snprintf(object, sizeof(object), "nfs.%s", name);
	events_add(kind, object, "%s%s", text, more);
}

void nf_tell(const char *name, const char *kind, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	add(name, kind, text, "");
}

void complain_as(
	struct complaints *complaints, const char *kind, const char *name, const char *format, ...)
{
	char text[256], more[48] = "";
	struct timespec now;
	va_list args;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (now.tv_sec != complaints->second.tv_sec)
		complaints->n = 0;
	complaints->second = now;
	if (complaints->n++ >= COMPLAINTS_PER_S) {
		complaints->untold++;
		return;
	}
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (complaints->untold)
		snprintf(more, sizeof(more), " (%u more like this before)", complaints->untold);
	complaints->untold = 0;
	add(name, kind, text, more);
}

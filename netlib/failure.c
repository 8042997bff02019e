/*
 * The last failure of this thread in words.
 */
#include "failure.h"

#include <stdarg.h>
#include <stdio.h>

#include <netvm.h>

static _Thread_local char last[FAILURE_BYTES] = "no failure";

int failure_set(int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(last, sizeof(last), format, args);
	va_end(args);
	return -code;
}

const char *netvm_error(void)
{
	return last;
}

/* One line at a time on stderr, written whole. Called from everywhere on the control side. */
#include "manager/log.h"

#include <stdarg.h>
#include <stdio.h>

void log_line(const char *format, ...)
{
	char line[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	fprintf(stderr, "netvmd: %s\n", line);
}

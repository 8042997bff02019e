/* The ring of the last events. Written by modules, read by modules/stats and by main. */
#include "manager/events.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "manager/log.h"

#define MESSAGE_BYTES 320

struct event_record {
	uint64_t time_ns; /* CLOCK_REALTIME */
	char kind[32];
	char object[64];
	char message[MESSAGE_BYTES];
};

static struct event_record ring[EVENTS_KEPT]; /* event n stands at n % EVENTS_KEPT */
static uint64_t next_number = 1;
static void (*watchers[EVENTS_WATCHERS])(void);

uint64_t events_next(void)
{
	return next_number;
}

static bool is_utf8(const char *text)
{
	json_t *value = json_string(text);

	json_decref(value);
	return value;
}

/*
 * Some of it was said by strangers: it must neither look like lines of the log nor steer a
 * terminal, also not by the control characters U+0080 to U+009f; and an event whose text is no
 * UTF-8, or was cut within a character, could not be told to anybody.
 */
static void make_one_line(char *text)
{
	bool utf8 = is_utf8(text);

	for (unsigned char *c = (unsigned char *)text; *c; c++) {
		bool is_c1 = *c == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0;

		if (is_c1)
			*c++ = '?';
		if (is_c1 || *c < ' ' || *c == 0x7f || (!utf8 && *c >= 0x80))
			*c = '?';
	}
}

void events_add(const char *kind, const char *object, const char *format, ...)
{
	struct event_record *record = &ring[next_number++ % EVENTS_KEPT];
	va_list args;

	record->time_ns = clock_ns(CLOCK_REALTIME);
	snprintf(record->kind, sizeof(record->kind), "%s", kind);
	snprintf(record->object, sizeof(record->object), "%s", object);
	va_start(args, format);
	vsnprintf(record->message, sizeof(record->message), format, args);
	va_end(args);
	make_one_line(record->message);
	log_line("%s%s%s: %s", record->kind, object[0] ? " " : "", record->object, record->message);
	for (unsigned i = 0; i < EVENTS_WATCHERS; i++)
		if (watchers[i])
			watchers[i]();
}

json_t *events_since(uint64_t since)
{
	uint64_t oldest = next_number > EVENTS_KEPT ? next_number - EVENTS_KEPT : 1;
	json_t *list = json_array();

	for (uint64_t n = since > oldest ? since : oldest; n < next_number; n++) {
		const struct event_record *record = &ring[n % EVENTS_KEPT];

		json_array_append_new(
			list, json_pack("{sI sI ss ss ss*}", "n", (json_int_t)n, "time_ns",
				      (json_int_t)record->time_ns, "kind", record->kind, "object",
				      record->object, "message", record->message));
	}
	return list;
}

void events_watch(void (*watcher)(void))
{
	events_unwatch(watcher);
	for (unsigned i = 0; i < EVENTS_WATCHERS; i++) {
		if (!watchers[i]) {
			watchers[i] = watcher;
			return;
		}
	}
}

void events_unwatch(void (*watcher)(void))
{
	for (unsigned i = 0; i < EVENTS_WATCHERS; i++)
		if (watchers[i] == watcher)
			watchers[i] = NULL;
}

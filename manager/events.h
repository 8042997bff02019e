/*
 * What happened, for people and programs that watch: a ring of the last events, read by events.get
 * (modules/stats) and written by any module.
 *
 * Thread-safety: the manager's thread.
 */
#ifndef NETVM_MANAGER_EVENTS_H
#define NETVM_MANAGER_EVENTS_H

#include <stdint.h>

#include <jansson.h>

#define EVENTS_KEPT 1024

/*
 * Add one, and a line in the log. `kind` is a fixed word such as "nf-exit", "port-link", "config";
 * `object` the path of what it is about ("nfs.fw") or "".
 */
void events_add(const char *kind, const char *object, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Number of the next event to come; the first ever is 1. */
uint64_t events_next(void);

/* Those with n >= since that are still kept, oldest first. New reference. */
json_t *events_since(uint64_t since);

/* Called after each events_add(). At most EVENTS_WATCHERS, each once. */
#define EVENTS_WATCHERS 4
void events_watch(void (*watcher)(void));
void events_unwatch(void (*watcher)(void));

#endif

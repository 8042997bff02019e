/*
 * A daemon for tests: the real store, RPC and server over the fakes, in the test's own thread. The
 * caller is a socket pair; call_*() turn the loop until the answer is there.
 */
#ifndef NETVM_MANAGER_TESTING_DAEMON_H
#define NETVM_MANAGER_TESTING_DAEMON_H

#include <stddef.h>

#include <jansson.h>

struct event_base;

/* Start with nothing; `timeout_ms`: of half requests (0: as always). Fails the test on errors. */
void daemon_start(unsigned timeout_ms);
void daemon_stop(void);

/* A test between the two. */
#define daemon_test(function)                                                                      \
	cmocka_unit_test_setup_teardown(function, daemon_setup, daemon_teardown)
int daemon_setup(void **state);
int daemon_teardown(void **state);

struct event_base *daemon_base(void);
const char *daemon_dir(void); /* a fresh folder, removed by daemon_stop() */

/* A further connection; the caller's end, non-blocking. */
int daemon_connect(void);

/* One turn of the loop after the other until `fd` has a line, or is closed (NULL). Caller frees. */
char *daemon_read_line(int fd);
void daemon_write(int fd, const char *text, size_t length);

/* Send a text, get the answer parsed. New reference. */
json_t *call_text(const char *text);

/* Call a method with parameters as JSON text (' for "); fails the test on an error. New reference.
 */
json_t *call(const char *method, const char *params);

/* The same, wanting an error: {code, message, data}. New reference. */
json_t *call_error(const char *method, const char *params);

/* config.apply of a document as YAML text; fails the test on an error, or without one. */
void apply(const char *yaml);
json_t *apply_error(const char *yaml);

/* What config.get says, as text in a canonical order. Caller frees. */
char *running_document(void);

#endif

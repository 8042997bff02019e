/*
 * The log: lines on stderr, for journald or a terminal. Errors a caller made go back to the caller,
 * not here.
 */
#ifndef NETVM_MANAGER_LOG_H
#define NETVM_MANAGER_LOG_H

void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif

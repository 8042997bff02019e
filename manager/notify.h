/* Telling whoever started the daemon how far it is. Called by daemon.c. */
#ifndef NETVM_MANAGER_NOTIFY_H
#define NETVM_MANAGER_NOTIFY_H

#include <sys/types.h>

/* "READY\n" to `fd` (-1: none), which is closed then, and READY=1 to systemd (sd_notify(3)). */
void notify_ready(int fd);
/* "FAILED " and why to `fd`. */
void notify_failed(int fd, const char *why);

void notify_stopping(void);

/* Another process is the daemon now. */
void notify_successor(pid_t pid);

#endif

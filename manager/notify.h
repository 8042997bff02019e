/* Telling whoever started the daemon how far it is. Called by daemon.c. */
#ifndef NETVM_MANAGER_NOTIFY_H
#define NETVM_MANAGER_NOTIFY_H

/* "READY\n" to `fd` (-1: none), which is closed then, and READY=1 to systemd (sd_notify(3)). */
void notify_ready(int fd);

void notify_stopping(void);

#endif

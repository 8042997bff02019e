/*
 * What the parts of the fake host share: test_host.c has memory, books and rings, the others the
 * two ways of handing them over.
 */
#ifndef NETVM_NETLIB_TEST_HOST_PARTS_H
#define NETVM_NETLIB_TEST_HOST_PARTS_H

#include "test_host.h"

/* test_host.c: the host's part of the handshake in the channel. 0 or -errno. */
int test_host_take_hello(struct test_host *host);
void test_host_refuse(struct test_host *host);
int test_host_accept(struct test_host *host);

/* test_host_socket.c */
int test_host_socket_open(struct test_host *host);
int test_host_socket_handshake(struct test_host *host);

/* test_host_guest.c */
int test_host_guest_open(struct test_host *host);
int test_host_guest_handshake(struct test_host *host);
void test_host_guest_close(struct test_host *host);

#endif

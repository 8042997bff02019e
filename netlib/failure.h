/*
 * The last failure of this thread in words, for netvm_error(). Used by everything in this folder.
 */
#ifndef NETVM_NETLIB_FAILURE_H
#define NETVM_NETLIB_FAILURE_H

#define FAILURE_BYTES 320

/* Remember the sentence; returns -code. */
int failure_set(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif

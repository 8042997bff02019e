/*
 * A guest of 64 KB that only says that it runs, to try whether an accelerator does. Called by
 * modules/nf/accel.c.
 *
 * That /dev/kvm can be opened says little: inside of other virtual machines it may hang, or run
 * every instruction by emulation, a hundred times slower than QEMU's own. So the guest counts to
 * ten million before it speaks: some 10 ms of a real processor, 30 ms of QEMU's emulation, many
 * seconds where KVM emulates.
 */
#ifndef NETVM_MODULES_GUEST_PROBE_H
#define NETVM_MODULES_GUEST_PROBE_H

#include <jansson.h>

#define PROBE_STATUS 43 /* QEMU's exit status when the guest has spoken */

/* Write the guest, a ROM that every user may read. 0 or -errno. */
int probe_write(const char *path);

/* All words to try it. New reference. */
json_t *probe_arguments(const char *program, const char *accel, const char *path);

#endif

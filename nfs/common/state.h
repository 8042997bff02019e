/*
 * The form in which our NFs hand over state (netvm_options.save, load): a header that says what it
 * is, a head of the NF's own, records of one size. Numbers in the machine's byte order, since it
 * never leaves the machine.
 *
 *     | magic, version, sizes | head | record | record | ...   to the end
 *
 * What is read comes from another version or from a program that was broken into: state_read()
 * checks the form, whoever calls it the values.
 */
#ifndef NFS_COMMON_STATE_H
#define NFS_COMMON_STATE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct state_form {
	char magic[8]; /* which NF's */
	uint32_t version;
	uint32_t head_bytes;
	uint32_t record_bytes;
	uint32_t reserved; /* 0 */
};

/* The header and the head; records are to follow. 0 or -EIO. */
int state_begin(FILE *file, const struct state_form *form, const void *head);
int state_record(FILE *file, const struct state_form *form, const void *record);

/*
 * Copies the head; *records and *n_records are what follows, not aligned: copy each record out.
 * -EBADMSG: not of this form.
 */
int state_read(const void *state, size_t n_bytes, const struct state_form *form, void *head,
	const uint8_t **records, size_t *n_records);

#endif

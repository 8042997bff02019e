/* State handed over: its form. See state.h. */
#include "common/state.h"

#include <errno.h>
#include <string.h>

int state_begin(FILE *file, const struct state_form *form, const void *head)
{
	if (fwrite(form, sizeof(*form), 1, file) != 1 ||
		fwrite(head, form->head_bytes, 1, file) != 1)
		return -EIO;
	return 0;
}

int state_record(FILE *file, const struct state_form *form, const void *record)
{
	return fwrite(record, form->record_bytes, 1, file) == 1 ? 0 : -EIO;
}

int state_read(const void *state, size_t n_bytes, const struct state_form *form, void *head,
	const uint8_t **records, size_t *n_records)
{
	const size_t begin = sizeof(*form) + form->head_bytes;

	if (n_bytes < begin || memcmp(state, form, sizeof(*form)) != 0 ||
		(n_bytes - begin) % form->record_bytes != 0)
		return -EBADMSG;
	memcpy(head, (const uint8_t *)state + sizeof(*form), form->head_bytes);
	*records = (const uint8_t *)state + begin;
	*n_records = (n_bytes - begin) / form->record_bytes;
	return 0;
}

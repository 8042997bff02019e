/* All modules together: see modules.h. */
#include "manager/modules.h"

#include <errno.h>
#include <string.h>

#include "manager/log.h"

#define SECTIONS_MAX 32

static unsigned count(void)
{
	unsigned n = 0;

	while (modules[n])
		n++;
	return n;
}

const struct section *const *modules_sections(void)
{
	static const struct section *all[SECTIONS_MAX + 1];
	unsigned n = 0;

	if (all[0])
		return all;
	for (const struct module *const *m = modules; *m; m++)
		for (const struct section *const *s = (*m)->sections; s && *s; s++)
			if (n < SECTIONS_MAX)
				all[n++] = *s;
	return all;
}

/* ---- life ------------------------------------------------------------------------------------ */

static bool is_listed_before(const char *name, unsigned end)
{
	for (unsigned i = 0; i < end; i++)
		if (strcmp(modules[i]->name, name) == 0)
			return true;
	return false;
}

static int check_order(struct error *error)
{
	for (unsigned i = 0; modules[i]; i++)
		for (const char *const *after = modules[i]->after; after && *after; after++)
			if (!is_listed_before(*after, i))
				return error_set(error, EINVAL, modules[i]->name, "",
					"module %s must be listed after %s", modules[i]->name,
					*after);
	return 0;
}

static void fini_before(unsigned end)
{
	while (end-- > 0)
		if (modules[end]->fini)
			modules[end]->fini();
}

int modules_init(struct manager *manager, struct error *error)
{
	int rc = check_order(error);

	for (unsigned i = 0; rc == 0 && modules[i]; i++) {
		rc = modules[i]->init ? modules[i]->init(manager, error) : 0;
		if (rc)
			fini_before(i);
	}
	return rc;
}

void modules_fini(void)
{
	fini_before(count());
}

/* ---- transaction ----------------------------------------------------------------------------- */

int modules_check(const struct change *change, struct error *error)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && modules[i]; i++)
		rc = modules[i]->check ? modules[i]->check(change, error) : 0;
	return rc;
}

/* *end: one behind the last module whose prepare was called. */
static int prepare_all(const struct change *change, unsigned *end, struct error *error)
{
	int rc = 0;

	for (*end = 0; rc == 0 && modules[*end]; ++*end)
		rc = modules[*end]->prepare ? modules[*end]->prepare(change, error) : 0;
	return rc;
}

static int commit_all(const struct change *change, struct error *error)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && modules[i]; i++)
		rc = modules[i]->commit ? modules[i]->commit(change, error) : 0;
	return rc;
}

static void finish_all(const struct change *change)
{
	for (unsigned i = count(); i-- > 0;)
		if (modules[i]->finish)
			modules[i]->finish(change);
}

/*
 * A port that had to be closed to make room was opened again as another object, so the old steering
 * is published anew.
 */
static void abort_before(const struct change *change, unsigned end)
{
	const struct change back = {change->new, change->old, change->sections, change->phase};
	struct error error = {0};

	for (unsigned i = end; i-- > 0;)
		if (modules[i]->abort)
			modules[i]->abort(change);
	if (commit_all(&back, &error))
		log_line("steering as before failed: %s: %s", error.path, error.message);
}

int modules_apply(const struct change *change, struct error *error)
{
	unsigned end;
	int rc = prepare_all(change, &end, error);

	if (rc == 0)
		rc = commit_all(change, error);
	if (rc)
		abort_before(change, end);
	else
		finish_all(change);
	return rc;
}

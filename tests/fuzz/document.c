/*
 * Documents before anything exists, as netvmd --check takes them: the schema and the checks of all
 * modules there are (manager/modules.c), those of NFs, guests and their pools among them.
 *
 * Properties: what is refused names a place and a cause; what is accepted is accepted again as it
 * was completed, completing it once more adds nothing, and it differs from nothing in all it says.
 */
#include "manager/document.h"
#include "manager/modules.h"
#include "manager/schema.h"
#include "manager/yaml.h"
#include "tests/fuzz/fuzz.h"

/* `complete`: new reference when it returns 0. */
static int check(const json_t *given, json_t **complete)
{
	json_t *empty = json_object();
	struct change change = {.old = empty, .sections = modules_sections()};
	struct error error = {0};
	int rc = schema_complete(change.sections, NULL, given, complete, &error);

	if (rc == 0) {
		change.new = *complete;
		rc = modules_check(&change, &error);
		if (rc)
			json_decref(*complete);
	}
	if (rc)
		require(error.code && error.message[0]);
	json_decref(empty);
	return rc;
}

static bool is_empty(const json_t *document)
{
	const char *name;
	json_t *section;

	json_object_foreach ((json_t *)document, name, section)
		if (json_object_size(section) > 0)
			return false;
	return true;
}

static void is_stable(json_t *complete)
{
	json_t *empty = json_object(), *again, *changes;
	const struct change same = {complete, complete, modules_sections(), 0};
	const struct change all = {empty, complete, modules_sections(), 0};

	require(check(complete, &again) == 0);
	require(json_equal(again, complete));
	json_decref(again);
	changes = document_diff(&same);
	require(json_array_size(changes) == 0);
	json_decref(changes);
	changes = document_diff(&all);
	require(json_array_size(changes) > 0 || is_empty(complete));
	json_decref(changes);
	json_decref(empty);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed feed = {data, size};
	char *text = feed_text(&feed);
	json_t *given = NULL, *complete;
	struct error error = {0};

	if (yaml_parse(text, strlen(text), &given, &error) == 0 && check(given, &complete) == 0) {
		is_stable(complete);
		json_decref(complete);
	}
	json_decref(given);
	free(text);
	return 0;
}

/*
 * Prints the daemon's schema as schema.get would, without a daemon. Run by the build only, for the
 * manual page.
 */
#include <stdio.h>

#include "manager/modules.h"
#include "manager/schema.h"

int main(void)
{
	json_t *answer = json_pack("{s:o}", "sections", schema_export(modules_sections()));
	int error = json_dumpf(answer, stdout, JSON_INDENT(1));

	json_decref(answer);
	return error ? 1 : 0;
}

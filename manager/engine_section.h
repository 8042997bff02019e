/* The section `engine` of the document. Called by daemon.c; listed as a module in modules.c. */
#ifndef NETVM_MANAGER_ENGINE_SECTION_H
#define NETVM_MANAGER_ENGINE_SECTION_H

#include <jansson.h>

struct engine_options;
struct module;

extern const struct module engine_module;

/* What a checked, complete document wants of the engine; notify_fd is left alone. */
void engine_section_read(const json_t *document, struct engine_options *options);

#endif

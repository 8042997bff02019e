/* What a plain scalar means. Private to yaml*.c: reading and writing must agree. */
#ifndef NETVM_MANAGER_YAML_SCALAR_H
#define NETVM_MANAGER_YAML_SCALAR_H

#include <stdbool.h>

#include <jansson.h>

/*
 * The value of an unquoted scalar in the core schema of YAML 1.2 (section 10.3.2). New reference;
 * NULL for a number that does not fit 64 bits.
 */
json_t *yaml_scalar(const char *text);

#endif

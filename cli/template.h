/*
 * The files that `nf new` writes: those of template/, embedded at build. @NAME@ in a file's name or
 * text stands for the NF's name.
 */
#ifndef NETVM_CLI_TEMPLATE_H
#define NETVM_CLI_TEMPLATE_H

struct template_file {
	const char *name;
	const char *text;
};

extern const struct template_file template_files[]; /* ended by an entry without name */

#endif

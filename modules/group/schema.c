/* The section `groups` of the document. Read by the manager's schema. */
#include "engine/buffers.h"
#include "modules/group/group.h"

#include "manager/schema.h"

static const struct field group_fields[] = {
	{"buffers", FIELD_INT, .min = 64, .max = NETVM_BUFFERS_MAX, .preset = "16384",
		.effect = EFFECT_RECREATE, .unit = "buffers",
		.help = "Packets the group can hold at one time, wherever they are"},
	{"buffer_bytes", FIELD_INT, .min = 512, .max = 15360, .preset = "2048",
		.effect = EFFECT_RECREATE, .unit = "bytes",
		.help = "Size of one buffer; 192 of it are headroom, the rest bounds the MTU of "
			"ports"},
	{"huge_pages", FIELD_ENUM, .preset = "\"auto\"", .effect = EFFECT_RECREATE,
		.values = (const char *const[]){"auto", "never", "always", NULL},
		.help = "auto: when there are some; always: an error when there are none"},
	{},
};

const struct section group_section = {"groups", "group", group_fields, .always = "default",
	.help = "Trust groups: NFs of one group may see each other's packets and never copy them"};

/* Names of the drop reasons, made from drops.def. */
#include "engine/drops.h"

#include <stddef.h>

static const struct {
	const char *label;
	const char *sentence;
} drops[] = {
#define DROP(name, label, sentence) {label, sentence},
#include "drops.def"
#undef DROP
};

const char *drop_label(enum drop_reason reason)
{
	return reason < DROP_REASONS ? drops[reason].label : NULL;
}

const char *drop_sentence(enum drop_reason reason)
{
	return reason < DROP_REASONS ? drops[reason].sentence : NULL;
}

/* Drop reasons as numbers and names, made from drops.def. */
#ifndef NETVM_ENGINE_DROPS_H
#define NETVM_ENGINE_DROPS_H

enum drop_reason {
#define DROP(name, label, sentence) DROP_##name,
#include "drops.def"
#undef DROP
	DROP_REASONS
};

const char *drop_label(enum drop_reason reason);
const char *drop_sentence(enum drop_reason reason);

#endif

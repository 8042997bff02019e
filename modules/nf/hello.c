/* Judging a hello. See hello.h. */
#include "modules/nf/hello.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static bool is_name(const char text[NETVM_NAME_BYTES])
{
	size_t length = strnlen(text, NETVM_NAME_BYTES);

	if (length == 0 || length == NETVM_NAME_BYTES || !isalnum((unsigned char)text[0]))
		return false;
	for (size_t i = 1; i < length; i++)
		if (!isalnum((unsigned char)text[i]) && !strchr("_.-", text[i]))
			return false;
	return true;
}

/* Whether the copy can be understood at all; the text names the field. */
static uint32_t hello_check(const struct netvm_hello *hello, char text[NETVM_TEXT_BYTES])
{
	const uint32_t known =
		NETVM_FEATURE_META | NETVM_FEATURE_STOCK | NETVM_FEATURE_STATE | NETVM_FEATURE_BELL;

	if (hello->abi_version != NETVM_ABI_VERSION) {
		snprintf(text, NETVM_TEXT_BYTES,
			"abi_version: the NF speaks version %u, this host %u", hello->abi_version,
			NETVM_ABI_VERSION);
		return NETVM_REFUSED_VERSION;
	}
	if (!is_name(hello->name) || (hello->service[0] && !is_name(hello->service))) {
		snprintf(text, NETVM_TEXT_BYTES,
			"%s: 1 to %u letters, digits, '_', '.', '-', beginning "
			"with a letter or digit",
			is_name(hello->name) ? "service" : "name", NETVM_NAME_BYTES - 1);
		return NETVM_REFUSED_NAME;
	}
	if (hello->features & ~known) {
		snprintf(text, NETVM_TEXT_BYTES, "features: 0x%x asked for, this host knows 0x%x",
			hello->features, known);
		return NETVM_REFUSED_FEATURE;
	}
	if (hello->n_queues < 1 || hello->n_queues > NETVM_QUEUES_MAX) {
		snprintf(text, NETVM_TEXT_BYTES, "n_queues: %u asked for, 1 to %u are possible",
			hello->n_queues, NETVM_QUEUES_MAX);
		return NETVM_REFUSED_FEATURE;
	}
	return 0;
}

uint32_t hello_answer(struct session *session, struct engine *engine, attach_admit *admit,
	struct attach_request *request, struct attach_grant *grant, char text[NETVM_TEXT_BYTES])
{
	struct error error = {0};
	uint32_t refusal;

	request->hello = session->channel->hello;
	/* The copy is made; nothing below may look at the original again. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	refusal = hello_check(&request->hello, text);
	if (!refusal)
		refusal = admit(request, grant, text);
	if (!refusal && session_ready(session, engine, &request->hello, grant, &error)) {
		refusal = NETVM_REFUSED_RESOURCE;
		snprintf(text, NETVM_TEXT_BYTES, "%.*s", (int)NETVM_TEXT_BYTES - 1, error.message);
	}
	if (refusal)
		session_refuse(session, refusal, text);
	return refusal;
}

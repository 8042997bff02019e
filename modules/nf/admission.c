/* Who may attach as which NF: the answer to a hello. See instance.h; called by control.c. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "manager/module.h"
#include "modules/nf/instance.h"

static uint32_t refuse(char *text, uint32_t refusal, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static uint32_t refuse(char *text, uint32_t refusal, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(text, NETVM_TEXT_BYTES, format, args);
	va_end(args);
	return refusal;
}

static uint32_t refuse_second(const struct nf_instance *instance, char *text)
{
	return refuse(text, NETVM_REFUSED_BUSY, "nfs.%s is running already, as process %d",
		instance->settings.name, session_pid(instance->session));
}

static uint32_t admit_process(
	const struct nf_instance *instance, const struct attach_request *request, char *text)
{
	const struct nf_settings *settings = &instance->settings;

	/* The pid says which process, the user that it cannot be a stranger's with a reused pid. */
	if (!instance->child.pid || request->pid != instance->child.pid ||
		request->uid != settings->uid)
		return refuse(text, NETVM_REFUSED_CREDENTIAL,
			"nfs.%s is started by the daemon; for one started by others declare it "
			"with "
			"image: external (a script that starts it must exec it)",
			settings->name);
	if (instance->session)
		return refuse_second(instance, text);
	if (instance->state != NF_STARTING)
		return refuse(text, NETVM_REFUSED_BUSY, "nfs.%s is being stopped", settings->name);
	if (pooled_left(&instance->pooled)) /* what it took now would end with this QEMU */
		return refuse(text, NETVM_REFUSED_BUSY, "nfs.%s is on its way to another QEMU",
			settings->name);
	return 0;
}

static uint32_t admit_external(
	const struct nf_instance *instance, const struct attach_request *request, char *text)
{
	const struct nf_settings *settings = &instance->settings;

	if (request->uid != 0 && request->uid != settings->uid)
		return refuse(text, NETVM_REFUSED_CREDENTIAL,
			"nfs.%s may be attached by user %s only; set nfs.%s.user", settings->name,
			settings->user, settings->name);
	if (instance->session)
		return refuse_second(instance, text);
	if (instance->state == NF_BACKOFF)
		return refuse(text, NETVM_REFUSED_BUSY,
			"nfs.%s broke the contract a moment ago; try again later", settings->name);
	return 0;
}

uint32_t instance_admit(struct nf_instance *instance, const struct attach_request *request,
	struct attach_grant *grant, char *text)
{
	const struct nf_settings *settings = &instance->settings;
	const struct netvm_hello *hello = &request->hello;
	uint32_t refusal;

	if (request->guest != instance->guest)
		return refuse(text, NETVM_REFUSED_CREDENTIAL,
			"nfs.%s has image: %s, so it does not attach from a process",
			settings->name, value_text(settings->object, "image"));
	refusal = settings->external ? admit_external(instance, request, text)
				     : admit_process(instance, request, text);
	if (refusal)
		return refusal;
	if (hello->service[0] && strcmp(hello->service, settings->service) != 0)
		return refuse(text, NETVM_REFUSED_SERVICE,
			"service: nfs.%s is declared with service %s", settings->name,
			settings->service);
	if (hello->n_queues > settings->n_queues)
		return refuse(text, NETVM_REFUSED_FEATURE,
			"n_queues: %u asked for, %u allowed; set nfs.%s.queues", hello->n_queues,
			settings->n_queues, settings->name);
	*grant = (struct attach_grant){
		.owner = instance,
		.service = instance->service,
		.pool = instance->pool,
		.service_name = settings->service,
		.instance = instance->restarts,
		.ring_words = settings->ring_words,
		.stock_words = settings->stock_words,
		.standby = settings->standby,
		.parked = instance->predecessor != NULL,
	};
	return 0;
}

/* JSON-RPC 2.0: see rpc.h. */
#include "manager/rpc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/memory.h"
#include "manager/schema_types.h"

#define METHODS_MAX 64

/* A text's answers are collected here and sent together when the last one is there. */
struct batch {
	struct rpc_peer *peer; /* NULL: hung up */
	bool is_array;
	unsigned n_open; /* calls not answered yet, and rpc_input() itself */
	size_t n_bytes;  /* of results so far; not counted without need */
	json_t *answers;
};

/* A call that is answered later. */
struct rpc_request {
	LIST_ENTRY(rpc_request) next;
	struct batch *batch;
	json_t *id; /* NULL: a notification */
	void (*cancel)(struct rpc_request *request, void *arg);
	void *arg;
};

void rpc_peer_init(struct rpc_peer *peer, void (*send)(struct rpc_peer *, const char *, size_t))
{
	peer->send = send;
	peer->grant = (struct role_grant){.role = ROLE_NONE};
	peer->fd = -1;
	peer->n_pending = 0;
	LIST_INIT(&peer->pending);
}

/* ---- the table of methods -------------------------------------------------------------------- */

/* Calls `visit` for each method of the manager and the modules until it returns not NULL. */
static const struct rpc_method *each_method(
	const struct rpc_method *(*visit)(const struct rpc_method *, void *), void *arg)
{
	const struct rpc_method *const own[] = {config_methods, daemon_methods};
	const struct rpc_method *found = NULL;

	for (unsigned i = 0; !found && i < 2; i++)
		for (const struct rpc_method *m = own[i]; !found && m->name; m++)
			found = visit(m, arg);
	for (unsigned i = 0; !found && modules[i]; i++)
		for (const struct rpc_method *m = modules[i]->methods; !found && m && m->name; m++)
			found = visit(m, arg);
	return found;
}

static const struct rpc_method *is_named(const struct rpc_method *method, void *arg)
{
	return strcmp(method->name, arg) == 0 ? method : NULL;
}

struct name_list {
	const char *name[METHODS_MAX + 1];
	unsigned n;
};

static const struct rpc_method *note_name(const struct rpc_method *method, void *arg)
{
	struct name_list *list = arg;

	if (list->n < METHODS_MAX)
		list->name[list->n++] = method->name;
	return NULL;
}

static const struct rpc_method *find_method(const char *name, struct error *error)
{
	const struct rpc_method *method = each_method(is_named, (void *)(uintptr_t)name);
	struct name_list known = {0};

	if (!method) {
		each_method(note_name, &known);
		schema_unknown(ENOENT, "method", name, known.name, error);
	}
	return method;
}

static const struct rpc_method *export_method(const struct rpc_method *method, void *arg)
{
	json_object_set_new(arg, method->name,
		json_pack("{ss ss so}", "help", method->help, "role", role_name(method->role),
			"params", schema_export_fields(method->params)));
	return NULL;
}

json_t *rpc_export(void)
{
	json_t *object = json_object();

	each_method(export_method, object);
	return object;
}

/* ---- answers --------------------------------------------------------------------------------- */

/* Messages may quote the caller's bytes, cut in the middle of a character. */
static json_t *text_value(const char *text)
{
	json_t *value = json_string(text);
	char ascii[ERROR_MESSAGE_BYTES];

	if (value)
		return value;
	snprintf(ascii, sizeof(ascii), "%s", text);
	for (char *c = ascii; *c; c++)
		if (*c & 0x80)
			*c = '?';
	return json_string(ascii);
}

static json_t *error_value(enum rpc_code code, const struct error *error)
{
	json_t *value = json_object(), *data = json_object();

	json_object_set_new(data, "code", json_string(error_code_name(error->code)));
	json_object_set_new(data, "path", text_value(error->path));
	json_object_set_new(data, "message", text_value(error->message));
	json_object_set_new(data, "hint", text_value(error->hint));
	json_object_set_new(value, "code", json_integer(code));
	json_object_set_new(value, "message", text_value(error->message));
	json_object_set_new(value, "data", data);
	return value;
}

/* Takes over `value`, borrows `id`. */
static json_t *answer_value(const json_t *id, const char *key, json_t *value)
{
	json_t *answer = json_object();

	json_object_set_new(answer, "jsonrpc", json_string("2.0"));
	json_object_set_new(answer, key, value);
	json_object_set_new(answer, "id", id ? json_deep_copy(id) : json_null());
	return answer;
}

static void send_value(struct rpc_peer *peer, const json_t *value)
{
	static const char no_memory[] =
		"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32000,\"message\":"
		"\"the machine has no memory left\"},\"id\":null}";
	char *text = json_dumps(value, JSON_COMPACT);

	if (text)
		peer->send(peer, text, strlen(text));
	else
		peer->send(peer, no_memory, sizeof(no_memory) - 1);
	memory_free_text(text);
}

void rpc_send_error(struct rpc_peer *peer, enum rpc_code code, const struct error *error)
{
	json_t *answer = answer_value(NULL, "error", error_value(code, error));

	send_value(peer, answer);
	json_decref(answer);
}

/* One call less to wait for; after the last one the answers are sent and the batch is gone. */
static void batch_close(struct batch *batch)
{
	if (--batch->n_open > 0)
		return;
	if (batch->peer && json_array_size(batch->answers) > 0)
		send_value(batch->peer,
			batch->is_array ? batch->answers : json_array_get(batch->answers, 0));
	json_decref(batch->answers);
	free(batch);
}

static void batch_add(struct batch *batch, json_t *answer)
{
	json_array_append_new(batch->answers, answer);
}

/* ---- calls answered later -------------------------------------------------------------------- */

static struct rpc_request *request_open(struct batch *batch, const json_t *id)
{
	struct rpc_request *request = calloc(1, sizeof(*request));

	if (!request)
		return NULL;
	request->batch = batch;
	request->id = id ? json_deep_copy(id) : NULL;
	batch->n_open++;
	batch->peer->n_pending++;
	LIST_INSERT_HEAD(&batch->peer->pending, request, next);
	return request;
}

static void request_close(struct rpc_request *request)
{
	struct batch *batch = request->batch;

	LIST_REMOVE(request, next);
	if (batch->peer)
		batch->peer->n_pending--;
	json_decref(request->id);
	free(request);
	batch_close(batch);
}

static void request_finish(struct rpc_request *request, const char *key, json_t *value)
{
	if (request->id)
		batch_add(request->batch, answer_value(request->id, key, value));
	else
		json_decref(value);
	request_close(request);
}

void rpc_answer(struct rpc_request *request, json_t *result)
{
	request_finish(request, "result", result);
}

void rpc_refuse(struct rpc_request *request, const struct error *error)
{
	request_finish(request, "error", error_value(RPC_REFUSED, error));
}

void rpc_on_cancel(
	struct rpc_request *request, void (*cancel)(struct rpc_request *, void *), void *arg)
{
	request->cancel = cancel;
	request->arg = arg;
}

void rpc_hangup(struct rpc_peer *peer)
{
	struct rpc_request *request;

	LIST_FOREACH(request, &peer->pending, next)
	request->batch->peer = NULL;
	while ((request = LIST_FIRST(&peer->pending))) {
		if (request->cancel)
			request->cancel(request, request->arg);
		request_close(request);
	}
}

/* ---- calls ----------------------------------------------------------------------------------- */

/* A call taken apart: borrowed from its text. */
struct call {
	const json_t *id; /* NULL: a notification */
	const char *method;
	const json_t *params; /* NULL: none */
};

static int invalid(struct error *error, const char *path, const char *hint, const char *message)
{
	return error_set(error, EINVAL, path, hint, "%s", message);
}

static int read_call(const json_t *value, struct call *call, struct error *error)
{
	const char *version = json_string_value(json_object_get(value, "jsonrpc"));

	if (!json_is_object(value))
		return invalid(error, "", "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"...\"}",
			"a call must be an object");
	call->id = json_object_get(value, "id");
	call->method = json_string_value(json_object_get(value, "method"));
	call->params = json_object_get(value, "params");
	if (json_is_object(call->id) || json_is_array(call->id) || json_is_boolean(call->id)) {
		call->id = NULL;
		return invalid(error, "id", "a number, a text or null", "the id is not valid");
	}
	if (!version || strcmp(version, "2.0") != 0)
		return invalid(error, "jsonrpc", "\"2.0\"", "the version is missing or another");
	if (!call->method)
		return invalid(error, "method", "a text", "the method is missing");
	return 0;
}

static int need_role(
	const struct rpc_peer *peer, enum role role, const char *path, struct error *error)
{
	enum role has = peer->grant.role;
	char hint[96];

	if (has <= role)
		return 0;
	snprintf(hint, sizeof(hint), "ask an admin for the role %s in the section api",
		role_name(role));
	return error_set(error, EACCES, path, hint, "this takes the role %s; the caller has %s",
		role_name(role), role_name(has));
}

int rpc_need(
	const struct rpc_request *request, enum role role, const char *path, struct error *error)
{
	return need_role(request->batch->peer, role, path, error);
}

int rpc_fd(const struct rpc_request *request)
{
	return request->batch->peer->fd;
}

const char *rpc_group(const struct rpc_request *request)
{
	return request->batch->peer->grant.group;
}

static int call_method(struct batch *batch, const struct rpc_method *method,
	const struct call *call, const json_t *params, json_t **result, struct error *error)
{
	struct rpc_request *request;
	int rc;

	if (batch->n_bytes > RPC_BATCH_BYTES)
		return error_set(error, E2BIG, "", "make fewer calls at once",
			"the results of the calls before are more than 1 MiB");
	if (batch->peer->n_pending >= RPC_PENDING_MAX)
		return error_set(error, EBUSY, "", "wait for answers first",
			"%d calls wait to be answered", RPC_PENDING_MAX);
	request = request_open(batch, call->id);
	if (!request)
		return error_set(error, ENOMEM, "", "", "no memory");
	rc = method->call(request, params, result, error);
	if (rc != RPC_LATER)
		request_close(request);
	if (batch->is_array && *result)
		batch->n_bytes += json_dumpb(*result, NULL, 0, JSON_COMPACT);
	return rc;
}

static enum rpc_code run_call(
	struct batch *batch, const struct call *call, json_t **result, int *rc, struct error *error)
{
	const struct rpc_method *method = find_method(call->method, error);
	json_t *none = json_object(), *params = NULL;
	enum rpc_code code = RPC_INVALID_PARAMS;

	*rc = -ENOENT;
	if (!method) {
		json_decref(none);
		return RPC_METHOD_NOT_FOUND;
	}
	*rc = need_role(batch->peer, method->role, "", error);
	if (*rc) {
		json_decref(none);
		return RPC_REFUSED;
	}
	*rc = schema_complete_object(
		method->params, call->params ? call->params : none, &params, error);
	if (*rc == 0) {
		*rc = call_method(batch, method, call, params, result, error);
		json_decref(params);
		code = RPC_REFUSED;
	}
	json_decref(none);
	return code;
}

static void handle_call(struct batch *batch, const json_t *value)
{
	struct call call = {0};
	struct error error = {0};
	enum rpc_code code = RPC_INVALID_REQUEST;
	json_t *result = NULL;
	int rc = read_call(value, &call, &error);

	if (rc == 0)
		code = run_call(batch, &call, &result, &rc, &error);
	else if (!call.id)
		call.id = json_null(); /* not even a notification: the answer says so */
	if (rc < 0 && !error.code)
		error_set(&error, -rc, "", "", "%s", strerror(-rc));
	if (rc == RPC_LATER)
		return;
	if (rc == 0 && call.id)
		batch_add(batch, answer_value(call.id, "result", result ? result : json_object()));
	else if (call.id)
		batch_add(batch, answer_value(call.id, "error", error_value(code, &error)));
	else
		json_decref(result);
}

static int check_batch(const json_t *value, struct error *error)
{
	size_t n = json_array_size(value);

	if (n == 0)
		return invalid(error, "", "at least one call", "an empty batch");
	if (n > RPC_BATCH_MAX)
		return invalid(error, "", "at most 256 calls", "a batch with too many calls");
	return 0;
}

static void handle_value(struct rpc_peer *peer, const json_t *value)
{
	struct error error = {0};
	struct batch *batch;

	if (json_is_array(value) && check_batch(value, &error)) {
		rpc_send_error(peer, RPC_INVALID_REQUEST, &error);
		return;
	}
	batch = calloc(1, sizeof(*batch));
	if (!batch) {
		error_set(&error, ENOMEM, "", "", "no memory");
		rpc_send_error(peer, RPC_REFUSED, &error);
		return;
	}
	*batch = (struct batch){peer, json_is_array(value), 1, 0, json_array()};
	for (size_t i = 0; i < json_array_size(value); i++)
		handle_call(batch, json_array_get(value, i));
	if (!batch->is_array)
		handle_call(batch, value);
	batch_close(batch);
}

void rpc_input(struct rpc_peer *peer, const char *text, size_t length)
{
	const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY;
	struct error error = {0};
	json_t *value;

	if (memory_read_json(text, length, flags, &value, &error))
		rpc_send_error(peer, error.code == ENOMEM ? RPC_REFUSED : RPC_PARSE_ERROR, &error);
	else if (memory_check(&error))
		rpc_send_error(peer, RPC_REFUSED, &error);
	else
		handle_value(peer, value);
	json_decref(value);
}

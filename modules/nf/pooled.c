/* A guest from a pool. See pooled.h. */
#include "modules/nf/pooled.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "modules/guest/hotplug.h"

unsigned pooled_pause_ms(const struct pooled *pooled)
{
	return (unsigned)((clock_ns(CLOCK_MONOTONIC) - pooled->left_ns) / 1000000u);
}

/* ---- taking ---------------------------------------------------------------------------------- */

static void given(void *arg, struct spare *spare)
{
	struct pooled *pooled = arg;
	void *owner = pooled->taker.options.owner;
	struct error error = {0};

	pooled->taker.runs = false;
	if (spare_give(spare, &pooled->taker, &error) == 0) {
		pooled->hooks->taken(owner);
		return;
	}
	spare_discard(spare);
	pooled->hooks->failed(owner, error.message);
}

static void not_given(void *arg, const char *why)
{
	const struct pooled *pooled = arg;

	pooled->hooks->failed(pooled->taker.options.owner, why);
}

int pooled_take(struct pooled *pooled, struct error *error)
{
	pooled->claim = (struct claim){
		.settings = pooled->taker.settings,
		.given = given,
		.failed = not_given,
		.arg = pooled,
	};
	return pool_claim(&pooled->claim, error);
}

/* ---- moving ---------------------------------------------------------------------------------- */

static void forget(struct pooled *pooled)
{
	if (pooled->save_fd >= 0)
		close(pooled->save_fd);
	pooled->save_fd = -1;
	pooled->next = NULL;
	pooled->left = false;
}

static void give_up(struct pooled *pooled, const char *why)
{
	void *owner = pooled->taker.options.owner;
	bool left = pooled->left;

	forget(pooled);
	if (left)
		pooled->hooks->failed(owner, why);
	else
		pooled->hooks->stayed(owner, why);
}

static void saved(void *arg, const char *failure)
{
	struct pooled *pooled = arg;
	struct spare *next = pooled->next;

	if (!failure || !next)
		return; /* the other one will say how it went */
	give_up(pooled, failure);
	spare_discard(next);
}

static void add_save(void *arg, struct script *script)
{
	struct pooled *pooled = arg;

	hotplug_save(script, pooled->save_fd, true);
	pooled->save_fd = -1;
}

static void next_loading(void *arg, struct spare *next)
{
	struct pooled *pooled = arg;

	(void)next;
	if (guest_unplug(*pooled->taker.guest, add_save, saved, pooled)) {
		pooled->hooks->stayed(pooled->taker.options.owner, "no memory");
		return; /* the next one gives up in time */
	}
	pooled->left = true;
	pooled->left_ns = clock_ns(CLOCK_MONOTONIC);
	pooled->hooks->leaving(pooled->taker.options.owner);
}

static void next_ready(void *arg, struct spare *next)
{
	struct pooled *pooled = arg;
	const struct spare_taker *taker = &pooled->taker;
	struct error error = {0};

	spare_bury(taker->options.manager, taker->child, *taker->guest);
	*taker->guest = NULL;
	pooled->taker.runs = true;
	pooled->next = NULL;
	if (spare_give(next, taker, &error)) {
		spare_discard(next);
		give_up(pooled, error.message);
		return;
	}
	forget(pooled);
	pooled->hooks->taken(taker->options.owner);
}

static void next_ended(void *arg, struct spare *next, const char *why)
{
	(void)next;
	give_up(arg, why);
}

static const struct spare_hooks next_hooks = {next_loading, next_ready, next_ended};

int pooled_move(struct pooled *pooled, struct error *error)
{
	const struct nf_settings *settings = pooled->taker.settings;
	int ends[2], rc;

	if (pooled_moves(pooled))
		return error_set(error, EBUSY, "name", "", "it is being moved already");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return error_set(error, errno, "", "", "a way for the guest: %s", strerror(errno));
	rc = pool_load(
		settings->pool, settings, ends[0], &next_hooks, pooled, &pooled->next, error);
	if (rc) {
		close(ends[1]);
		return rc;
	}
	pooled->save_fd = ends[1];
	spare_hurry(pooled->next, true);
	return 0;
}

bool pooled_moves(const struct pooled *pooled)
{
	return pooled->next;
}

bool pooled_left(const struct pooled *pooled)
{
	return pooled->left;
}

void pooled_stop(struct pooled *pooled)
{
	struct spare *next = pooled->next;

	pool_withdraw(&pooled->claim);
	if (!next)
		return;
	forget(pooled);
	spare_discard(next);
}

/* One QEMU of a pool. See spare.h. */
#include "modules/nf/spare.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manager/module.h"
#include "modules/guest/agent.h"
#include "modules/guest/hotplug.h"
#include "modules/nf/instance.h"
#include "modules/nf/survivor.h"

#define READY_LIMIT_S   60
#define STEP_TIMEOUT_MS 30000
#define NICE            10

static TAILQ_HEAD(, spare) killed = TAILQ_HEAD_INITIALIZER(killed);

static void discard(struct spare *spare);

/* ---- the end --------------------------------------------------------------------------------- */

static void close_files(const struct spare_options *options)
{
	if (options->load_fd >= 0)
		close(options->load_fd);
	if (options->save_fd >= 0)
		close(options->save_fd);
}

static void spare_free(struct spare *spare)
{
	agent_close(spare->agent);
	guest_close(spare->guest);
	if (spare->limit)
		event_free(spare->limit);
	close_files(&spare->options);
	if (spare->settings.name[0])
		output_rename(spare->options.manager->run_dir, spare->settings.name, NULL);
	nf_settings_free(&spare->settings);
	free(spare);
}

static void reap(struct spare *spare)
{
	struct child_end end;

	child_reap(&spare->child, "", &end);
	TAILQ_REMOVE(&killed, spare, link);
	spare_free(spare);
}

static void fail(struct spare *spare, const char *why)
{
	spare->options.hooks->ended(spare->options.arg, spare, why);
	discard(spare);
}

/* Its QEMU has ended: because it was killed, or by itself. */
static void exited(void *arg)
{
	struct spare *spare = arg;
	struct child_end end;

	if (!spare->options.hooks) {
		reap(spare);
		return;
	}
	child_reap(&spare->child, "", &end);
	spare->options.hooks->ended(spare->options.arg, spare, end.text);
	spare_free(spare);
}

/* Without hooks it is nobody's. */
static void discard(struct spare *spare)
{
	spare->options.hooks = NULL;
	if (spare->limit)
		event_del(spare->limit);
	TAILQ_INSERT_TAIL(&killed, spare, link);
	child_kill(&spare->child);
}

void spare_discard(struct spare *spare)
{
	if (spare)
		discard(spare);
}

void spare_bury(const struct manager *manager, struct child *child, struct guest *guest)
{
	struct spare *spare = calloc(1, sizeof(*spare));

	if (!spare || child_move(&spare->child, child, exited, spare)) {
		struct child_end end;

		free(spare);
		child_signal(child, SIGKILL);
		child_await(child, -1); /* no memory for a better way */
		child_reap(child, "", &end);
		guest_close(guest);
		return;
	}
	spare->options = (struct spare_options){.manager = manager, .load_fd = -1, .save_fd = -1};
	guest_close(guest);
	discard(spare);
}

void spare_await_all(void)
{
	struct spare *spare;

	while ((spare = TAILQ_FIRST(&killed))) {
		child_await(&spare->child, -1);
		reap(spare);
	}
}

/* ---- becoming ready -------------------------------------------------------------------------- */

static const char *limit_text(const struct spare *spare)
{
	if (spare->rehearses)
		return "in 60 s the image's NF did not end, though it was told to stop when it "
		       "attached";
	if (spare->booted || spare->options.load_fd >= 0)
		return "it is not ready after 60 s";
	return "its agent says nothing for 60 s: build its image with this netvm-image";
}

static void limit_event(evutil_socket_t fd, short what, void *arg)
{
	struct spare *spare = arg;

	(void)fd;
	(void)what;
	fail(spare, limit_text(spare));
}

static void become_ready(struct spare *spare)
{
	spare->ready = true;
	event_del(spare->limit);
	spare->options.hooks->ready(spare->options.arg, spare);
}

/* An NF that comes later finds the devices known and, under emulation, its way translated. */
static void rehearse(struct spare *spare)
{
	spare->rehearses = true;
	if (agent_rehearse(spare->agent))
		fail(spare, "its agent is not there");
}

static void steps_done(void *arg, const char *failure)
{
	struct spare *spare = arg;

	if (!spare->options.hooks)
		return;
	if (failure)
		fail(spare, failure);
	else if (spare->hurries || spare->saves)
		become_ready(spare);
	else
		rehearse(spare);
}

static int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

static void load(struct spare *spare)
{
	struct script *script = guest_script(spare->guest, steps_done, spare);

	if (!script) {
		fail(spare, "no memory to load it");
		return;
	}
	if (spare->options.hooks->loading)
		spare->options.hooks->loading(spare->options.arg, spare);
	hotplug_load(script, take_fd(&spare->options.load_fd));
	guest_plug(spare->guest, script);
	script_add(script, "cont", NULL);
	guest_run(spare->guest, STEP_TIMEOUT_MS);
}

static void save_or_plug(struct spare *spare)
{
	struct script *script = guest_script(spare->guest, steps_done, spare);

	if (!script) {
		fail(spare, "no memory to plug its devices");
		return;
	}
	spare->saves = spare->options.save_fd >= 0;
	if (spare->saves)
		hotplug_save(script, take_fd(&spare->options.save_fd), false);
	else
		guest_plug(spare->guest, script);
	guest_run(spare->guest, STEP_TIMEOUT_MS);
}

static void monitored(void *owner)
{
	struct spare *spare = owner;

	spare->monitored = true;
	if (!spare->options.hooks)
		return;
	if (spare->options.load_fd >= 0)
		load(spare);
	else if (spare->booted)
		save_or_plug(spare);
}

static void booted(void *arg)
{
	struct spare *spare = arg;

	spare->booted = true;
	if (!spare->options.hooks)
		return;
	if (spare->rehearses)
		become_ready(spare);
	else if (spare->monitored && spare->options.load_fd < 0)
		save_or_plug(spare);
}

static void agent_broken(void *arg)
{
	struct spare *spare = arg;

	if (spare->options.hooks)
		fail(spare, "its agent does not speak as one");
}

/* ---- start ----------------------------------------------------------------------------------- */

static bool allowed(void *arg, const struct peer *peer)
{
	const struct spare *spare = arg;

	return spare->child.pid && peer->pid == spare->child.pid &&
	       peer->uid == spare->settings.uid;
}

static int open_parts(struct spare *spare, struct error *error)
{
	const struct manager *manager = spare->options.manager;
	const struct guest_options guest = {
		.manager = manager,
		.settings = &spare->settings,
		.pool = spare->options.pool,
		.hooks = &nf_attach_hooks,
		.allowed = allowed,
		.monitored = monitored,
		.owner = spare,
	};
	char path[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	const struct agent_options agent = {
		.base = manager->base,
		.path = path,
		.allowed = allowed,
		.ready = booted,
		.broken = agent_broken,
		.arg = spare,
	};
	int rc = guest_open(&guest, &spare->guest, error);

	if (rc)
		return rc;
	if (guest_agent_path(manager, &spare->settings, path, sizeof(path)))
		return error_set(error, ENAMETOOLONG, "", "use a shorter --run-dir",
			"the path of an agent's socket is too long");
	return agent_open(&agent, &spare->agent, error);
}

static int start_qemu(struct spare *spare, struct error *error)
{
	const struct spare_options *options = &spare->options;
	const struct guest_start start = {.agent = true, .loads = options->load_fd >= 0};
	json_t *words;
	int rc = guest_arguments(options->manager, &spare->settings, start, &words, error);

	if (rc)
		return rc;
	rc = child_start_qemu(&spare->child, options->manager, &spare->settings, words,
		guest_take_monitor(spare->guest), exited, spare, error);
	json_decref(words);
	return rc;
}

static int start_parts(struct spare *spare, struct error *error)
{
	const struct timeval limit = {READY_LIMIT_S, 0};
	int rc = open_parts(spare, error);

	if (rc)
		return rc;
	spare->limit = evtimer_new(spare->options.manager->base, limit_event, spare);
	if (!spare->limit || event_add(spare->limit, &limit))
		return error_set(error, ENOMEM, "", "", "no memory for a guest");
	return start_qemu(spare, error);
}

/* One of an earlier daemon may have taken a name with it to its NF. */
static void name_next(char name[NETVM_NAME_BYTES])
{
	static unsigned number;

	do
		snprintf(name, NETVM_NAME_BYTES, "pool:%u", ++number);
	while (survivor_has(name));
}

int spare_start(const struct spare_options *options, struct spare **spare, struct error *error)
{
	struct spare *made = calloc(1, sizeof(*made));
	char name[NETVM_NAME_BYTES];
	int rc;

	if (!made) {
		close_files(options);
		return error_set(error, ENOMEM, "", "", "no memory for a guest");
	}
	made->options = *options;
	name_next(name);
	rc = nf_settings_read(
		&made->settings, name, options->settings, options->manager->binary_dir, error);
	if (!rc)
		rc = start_parts(made, error);
	if (rc) {
		spare_free(made);
		return rc;
	}
	*spare = made;
	return 0;
}

void spare_hurry(struct spare *spare, bool hurries)
{
	spare->hurries = hurries;
	child_nice(&spare->child, hurries ? 0 : NICE);
}

/* ---- giving it away -------------------------------------------------------------------------- */

/* Its log becomes the NF's, which knows its user from now on. */
static int take_over(struct spare *spare, const struct spare_taker *taker)
{
	struct nf_settings *settings = taker->settings;
	const struct nf_settings *its = &spare->settings;
	int rc = nf_settings_set_user(settings, its->user, its->uid, its->gid);

	if (!rc)
		rc = child_move(taker->child, &spare->child, taker->exited, taker->options.owner);
	if (rc)
		return rc;
	output_rename(spare->options.manager->run_dir, its->name, settings->name);
	survivor_note(taker->child->pid, settings, its->name, taker->child->cgroup.path);
	return 0;
}

int spare_give(struct spare *spare, const struct spare_taker *taker, struct error *error)
{
	const struct nf_settings *settings = taker->settings;
	int rc = taker->runs ? 0
			     : agent_run(spare->agent, settings->name, settings->service,
				       settings->command.argv);

	if (!rc)
		rc = take_over(spare, taker);
	if (rc)
		return error_set(error, -rc, "", "",
			"a guest of the pool cannot be told what to "
			"run: %s",
			strerror(-rc));
	spare_hurry(spare, true);
	child_pin(taker->child, &settings->cpus);
	guest_give(spare->guest, &taker->options, taker->runs ? NULL : spare->agent);
	*taker->guest = spare->guest;
	spare->guest = NULL;
	if (!taker->runs)
		spare->agent = NULL;
	spare_free(spare);
	return 0;
}

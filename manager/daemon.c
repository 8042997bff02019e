/*
 * The daemon from start to stop, on one thread with one event loop; workers are the engine's.
 *
 *   lock state ─► load document ─► engine ─► modules ─► apply document ─► API socket ─► loop
 *        ▲                      │          │                                             │
 *        │           helper of NFs; root   the filter of system calls                    │
 *        │           is given up                                                         │
 *        └──── engine ◄──── modules ◄──── apply the empty document ◄──── API socket ◄────┘
 */
#include "manager/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>
#include <rte_version.h>

#include "common/memory.h"
#include "engine/engine.h"
#include "manager/daemon_methods.h"
#include "manager/engine_section.h"
#include "manager/events.h"
#include "manager/estate.h"
#include "manager/file.h"
#include "manager/handover.h"
#include "manager/log.h"
#include "manager/modules.h"
#include "manager/notify.h"
#include "manager/privilege.h"
#include "manager/seccomp.h"
#include "manager/server.h"
#include "manager/state.h"
#include "manager/store.h"
#include "manager/yaml.h"
#include "modules/nf/spawner.h"

#define GO_MS 250 /* packets wait so long for NFs that start, or attach again */

struct daemon {
	const struct daemon_options *options;
	struct manager manager;
	struct identity identity;
	struct server *server;
	struct event *term, *interrupt;
	struct event *news; /* something happened: are we ready? */
	json_t *document;   /* to start with, as given */
	bool is_kept;       /* `document` is not the saved one but what ran before */
	bool is_confined;
	bool is_going; /* packets may come in */
	bool is_ready;
	char save_path[PATH_MAX];
	char api_socket[PATH_MAX];
	char nf_socket[PATH_MAX];
	char binary_dir[PATH_MAX];
};

static struct daemon self = {.manager.notify_fd = -1};

/* ---- the document to start with -------------------------------------------------------------- */

static void set_paths(struct daemon *daemon)
{
	const struct daemon_options *options = daemon->options;
	char folder[PATH_MAX] = ""; /* in front of a relative path: callers have another */
	ssize_t n = readlink("/proc/self/exe", daemon->binary_dir, PATH_MAX - 1);
	char *slash;

	daemon->binary_dir[n > 0 ? n : 0] = '\0';
	slash = strrchr(daemon->binary_dir, '/');
	if (slash)
		*slash = '\0';
	if (options->config && options->config[0] != '/' && !getcwd(folder, sizeof(folder)))
		folder[0] = '\0';
	if (options->config)
		snprintf(daemon->save_path, PATH_MAX, "%s%s%s", folder, folder[0] ? "/" : "",
			options->config);
	else
		snprintf(daemon->save_path, PATH_MAX, "%s/netvm.yaml", options->state_dir);
	if (options->api_socket)
		snprintf(daemon->api_socket, PATH_MAX, "%s", options->api_socket);
	else
		snprintf(daemon->api_socket, PATH_MAX, "%s/api.sock", options->run_dir);
	if (options->nf_socket)
		snprintf(daemon->nf_socket, PATH_MAX, "%s", options->nf_socket);
	else
		snprintf(daemon->nf_socket, PATH_MAX, "%s/nf.sock", options->run_dir);
}

/* A daemon that was never told anything starts with nothing. */
static int load_saved(struct daemon *daemon, struct error *error)
{
	int rc;

	if (!daemon->options->config && access(daemon->save_path, F_OK) != 0) {
		daemon->document = json_object();
		return 0;
	}
	rc = yaml_load(daemon->save_path, &daemon->document, error);
	if (rc == 0 && json_is_null(daemon->document))
		daemon->document = json_object();
	return rc;
}

/* Whether the path leads into the document: begins with a section that it has. */
static bool is_about_document(const struct daemon *daemon, const struct error *error)
{
	char section[ERROR_PATH_BYTES];

	snprintf(section, sizeof(section), "%.*s", (int)strcspn(error->path, "."), error->path);
	return json_object_get(daemon->document, section) != NULL;
}

/* Which document it is about, to put in front; the file that was given is not the one that ran. */
static void find_place(
	const struct daemon *daemon, const struct error *error, char *place, size_t size)
{
	unsigned line;
	int n;

	place[0] = '\0';
	if (!daemon->is_kept) {
		line = yaml_find_in_file(daemon->save_path, error->path);
		if (line)
			snprintf(place, size, "%s:%u: ", daemon->save_path, line);
	} else if (is_about_document(daemon, error)) {
		state_origin(place, size);
		n = (int)strlen(place);
		snprintf(place + n, size - (size_t)n, "%s: ",
			daemon->options->replace ? ""
						 : " (remove it to start with the saved document)");
	}
}

static void complain_about_document(const struct daemon *daemon, const struct error *error)
{
	char place[PATH_MAX + 160], text[PATH_MAX + 2048];

	find_place(daemon, error, place, sizeof(place));
	snprintf(text, sizeof(text), "%s%s%s%s%s%s%s", place, error->path,
		error->path[0] ? ": " : "", error->message, error->hint[0] ? " (" : "", error->hint,
		error->hint[0] ? ")" : "");
	log_line("%s", text);
	if (!daemon->is_ready)
		notify_failed(daemon->options->ready_fd, text);
}

static int check_document(struct daemon *daemon, struct error *error)
{
	json_t *complete, *empty = json_object();
	struct change change = {empty, NULL, modules_sections()};
	int rc = schema_complete(change.sections, NULL, daemon->document, &complete, error);

	if (rc == 0) {
		change.new = complete;
		rc = modules_check(&change, error);
		json_decref(complete);
	}
	json_decref(empty);
	return rc;
}

static void use_kept(struct daemon *daemon, json_t *kept)
{
	json_decref(daemon->document);
	daemon->document = kept;
	daemon->is_kept = true;
}

/* Whoever edited the saved document wants it, if it can be used; one that is to replace a running
 * daemon needs no second best. */
static int load_edited(struct daemon *daemon, json_t *kept, struct error *error)
{
	struct error fault = {0};
	int rc = load_saved(daemon, &fault);

	if (rc == 0)
		rc = check_document(daemon, &fault);
	if (rc == 0) {
		events_add("state", "", "%s was edited since: it is used, and not what ran last",
			daemon->save_path);
		json_decref(kept);
	} else if (daemon->options->replace) {
		*error = fault;
		json_decref(kept);
		return rc;
	} else {
		events_add("state", fault.path,
			"%s was edited since, but has errors: what ran last is used: %s",
			daemon->save_path, fault.message);
		use_kept(daemon, kept);
	}
	return 0;
}

/* What ran, when the last daemon was killed or is about to hand over. */
static int load_document(struct daemon *daemon, struct error *error)
{
	bool edited;
	json_t *kept;
	int rc;

	state_open(daemon->options->state_dir, daemon->save_path);
	rc = state_read(&kept, &edited, error);
	if (rc)
		return rc;
	if (!kept)
		return load_saved(daemon, error);
	if (edited)
		return load_edited(daemon, kept, error);
	use_kept(daemon, kept);
	return 0;
}

int daemon_check(const struct daemon_options *options)
{
	struct daemon *daemon = &self;
	struct error error = {0};
	int rc;

	daemon->options = options;
	set_paths(daemon);
	rc = load_saved(daemon, &error);
	if (rc == 0)
		rc = check_document(daemon, &error);
	if (rc)
		complain_about_document(daemon, &error);
	json_decref(daemon->document);
	return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- start ----------------------------------------------------------------------------------- */

/* By descriptor: whoever may write above it could put a link in its place. */
static int give_folder(const char *path, const struct identity *identity)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int rc = fd < 0 || fchown(fd, identity->uid, identity->gid) ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return rc;
}

/* A folder that is made belongs to whom the daemon becomes; others stay whose they are. */
static int make_folder(
	const char *path, mode_t mode, const struct identity *identity, struct error *error)
{
	bool is_new = access(path, F_OK) != 0;
	int rc = file_make_dirs(path, mode);

	if (rc == 0 && is_new && identity->changes)
		rc = give_folder(path, identity);
	return rc ? error_set(error, -rc, path, "a folder that the daemon may make",
			    "cannot make it: %s", strerror(-rc))
		  : 0;
}

static int take_folders(struct daemon *daemon, struct error *error)
{
	const char *state_dir = daemon->options->state_dir;
	int rc = make_folder(daemon->options->run_dir, 0755, &daemon->identity, error);

	if (rc == 0)
		rc = make_folder(state_dir, 0750, &daemon->identity, error);
	if (rc)
		return rc;
	return daemon->options->replace ? handover_call(state_dir, daemon->api_socket, error)
					: handover_lock(state_dir, error);
}

static int check_folder(const char *path, struct error *error)
{
	char hint[ERROR_HINT_BYTES];

	if (access(path, W_OK | X_OK) == 0)
		return 0;
	snprintf(hint, sizeof(hint), "give it to that user: chown -R %u: %s", geteuid(), path);
	return error_set(error, errno, path, hint,
		"user %u, as whom the daemon runs, cannot write there", geteuid());
}

static int drop_in_spawner(struct error *error)
{
	return privilege_keep_spawner(&self.identity, error);
}

static int give_up_root(struct daemon *daemon, struct error *error)
{
	const struct identity *identity = &daemon->identity;
	const struct spawner_options options = {.drop = drop_in_spawner,
		.others_only = !identity->stays_root && privilege_can_become_others()};
	int rc = spawner_start(&options, error);

	if (rc == 0)
		rc = privilege_keep_daemon(identity, error);
	if (rc == 0)
		rc = check_folder(daemon->options->run_dir, error);
	return rc ? rc : check_folder(daemon->options->state_dir, error);
}

static int start_engine(struct daemon *daemon, struct error *error)
{
	struct engine_options options = {.notify_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	json_t *complete;
	int rc;

	if (options.notify_fd < 0)
		return error_set(error, errno, "", "", "no eventfd: %s", strerror(errno));
	daemon->manager.notify_fd = options.notify_fd;
	/* DPDK keeps its files there, if it is one folder; systemd names all of the unit's. */
	if (setenv("RUNTIME_DIRECTORY", daemon->options->run_dir, 1))
		return error_set(error, errno, "", "", "no memory for the environment");
	rc = schema_complete(modules_sections(), NULL, daemon->document, &complete, error);
	if (rc)
		return rc;
	engine_section_read(complete, &options);
	json_decref(complete);
	return engine_create(&options, &daemon->manager.engine, error);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
	(void)what;
	log_line("%s: stopping", number == SIGINT ? "interrupted" : "asked to stop");
	event_base_loopbreak(arg);
}

static int start_loop(struct daemon *daemon, struct error *error)
{
	struct event_base *base = event_base_new();

	daemon->manager.base = base;
	if (base)
		daemon->term = evsignal_new(base, SIGTERM, on_signal, base);
	if (base)
		daemon->interrupt = evsignal_new(base, SIGINT, on_signal, base);
	if (!daemon->term || !daemon->interrupt || event_add(daemon->term, NULL) ||
		event_add(daemon->interrupt, NULL))
		return error_set(error, ENOMEM, "", "", "the event loop does not start");
	return 0;
}

/* ---- ready ----------------------------------------------------------------------------------- */

static bool all_ready(void)
{
	for (const struct module *const *m = modules; *m; m++)
		if ((*m)->ready && !(*m)->ready())
			return false;
	return true;
}

static void go(struct daemon *daemon)
{
	if (daemon->is_going)
		return;
	daemon->is_going = true;
	for (const struct module *const *m = modules; *m; m++)
		if ((*m)->go)
			(*m)->go();
}

static void go_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	go(arg);
}

static void look_whether_ready(evutil_socket_t fd, short what, void *arg)
{
	struct daemon *daemon = arg;

	(void)fd, (void)what;
	if (!all_ready())
		return;
	go(daemon);
	if (daemon->is_ready)
		return;
	daemon->is_ready = true;
	notify_ready(daemon->options->ready_fd);
}

/* From the loop, not from inside of whoever tells the news. */
static void on_news(void)
{
	event_active(self.news, 0, 0);
}

static int watch_news(struct daemon *daemon, struct error *error)
{
	const struct timeval wait = {.tv_usec = GO_MS * 1000};

	if (!daemon->news)
		daemon->news = event_new(daemon->manager.base, -1, 0, look_whether_ready, daemon);
	if (!daemon->news ||
		event_base_once(daemon->manager.base, -1, EV_TIMEOUT, go_late, daemon, &wait))
		return error_set(error, ENOMEM, "", "", "no memory");
	daemon->is_going = false;
	events_watch(on_news);
	return 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

static int apply_document(struct daemon *daemon, struct error *error)
{
	json_t *changes;
	int rc = store_apply(daemon->document, 0, &changes, error);

	if (rc == 0) {
		json_decref(changes);
		store_forget_past();
	}
	return rc;
}

/* Also as the last step before the next daemon is told that it may serve in our place. */
static void close_server(void)
{
	server_close(self.server);
	self.server = NULL;
}

/* False: this daemon goes on as before, and the other one has been told why. */
static bool hand_over(struct daemon *daemon)
{
	struct error error = {0};

	json_decref(daemon->document);
	daemon->document = json_incref((json_t *)store_given());
	if (store_fini(PHASE_HAND_OVER, &error) == 0)
		return true;
	handover_refuse(&error);
	return false;
}

static void serve(struct daemon *daemon, struct error *error)
{
	const struct server_options options = {.path = daemon->api_socket};

	if (server_open(daemon->manager.base, &options, &daemon->server, error))
		return;
	events_add("daemon", "", "version %s serves %s", NETVM_VERSION, daemon->api_socket);
	handover_done();
	do
		event_base_dispatch(daemon->manager.base);
	while (handover_begun() && !hand_over(daemon));
	if (!handover_begun())
		notify_stopping();
	close_server();
}

/* What is less than could be is said, and no reason not to start. */
static void confine(struct daemon *daemon)
{
	struct error error = {0};
	char capabilities[256];

	if (daemon->is_confined)
		return;
	daemon->is_confined = true;
	if (seccomp_start(&error))
		events_add("privileges", "", "no filter of system calls: %s", error.message);
	privilege_describe(capabilities, sizeof(capabilities));
	if (daemon->identity.stays_root)
		events_add("privileges", "",
			"keeps running as root: there is no user " PRIVILEGE_USER
			", or --user root was given");
	else
		log_line("runs as user %u, capabilities: %s", geteuid(), capabilities);
}

/* The end of what runs, unless another daemon has it now. */
static void end_document(bool failed)
{
	struct error error = {0};

	if (handover_begun())
		return;
	if (store_fini(PHASE_STOP, &error))
		events_add("config", error.path, "cannot stop cleanly: %s", error.message);
	if (!failed)
		state_remove();
}

static void run_modules(struct daemon *daemon, struct error *error)
{
	store_init(daemon->manager.base, daemon->save_path);
	daemon_methods_init(&daemon->manager, rte_version());
	if (modules_init(&daemon->manager, error) == 0) {
		confine(daemon);
		if (watch_news(daemon, error) == 0 && apply_document(daemon, error) == 0) {
			serve(daemon, error);
			end_document(error->code != 0);
		}
		modules_fini();
	}
	store_free();
	events_unwatch(on_news);
}

/* Again when it handed over to one that failed. */
static void run(struct daemon *daemon, struct error *error)
{
	int rc;

	do {
		run_modules(daemon, error);
		rc = handover_begun() && !error->code ? handover_await(error) : 0;
	} while (rc == -ECANCELED);
}

static int start(struct daemon *daemon, struct error *error)
{
	int rc = privilege_choose(daemon->options->user, &daemon->identity, error);

	if (rc == 0)
		rc = take_folders(daemon, error);
	if (rc == 0)
		rc = load_document(daemon, error);
	if (rc == 0)
		rc = check_document(daemon, error);
	if (rc == 0)
		rc = give_up_root(daemon, error);
	if (rc == 0)
		rc = estate_open(daemon->options->run_dir, error);
	if (rc == 0)
		rc = start_loop(daemon, error);
	return rc ? rc : start_engine(daemon, error);
}

static void free_event(struct event *event)
{
	if (event)
		event_free(event);
}

static void stop(struct daemon *daemon)
{
	engine_destroy(daemon->manager.engine);
	spawner_stop();
	free_event(daemon->news);
	free_event(daemon->term);
	free_event(daemon->interrupt);
	if (daemon->manager.base)
		event_base_free(daemon->manager.base);
	json_decref(daemon->document);
	if (daemon->manager.notify_fd >= 0)
		close(daemon->manager.notify_fd);
	handover_end();
}

int daemon_run(const struct daemon_options *options)
{
	struct daemon *daemon = &self;
	struct error error = {0};

	memory_init();
	handover_init(close_server);
	signal(SIGPIPE, SIG_IGN);
	daemon->options = options;
	set_paths(daemon);
	daemon->manager.run_dir = options->run_dir;
	daemon->manager.state_dir = options->state_dir;
	daemon->manager.api_socket = daemon->api_socket;
	daemon->manager.nf_socket = daemon->nf_socket;
	daemon->manager.binary_dir = daemon->binary_dir;
	if (start(daemon, &error) == 0)
		run(daemon, &error);
	if (error.code)
		complain_about_document(daemon, &error);
	stop(daemon);
	return error.code ? EXIT_FAILURE : EXIT_SUCCESS;
}

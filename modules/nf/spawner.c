/* The helper that starts NFs. See spawner.h. */
#include "modules/nf/spawner.h"

#include <errno.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define REQUEST_BYTES_MAX (64u * 1024)
#define WORDS_MAX         4096
#define SOCKET_FD         (STDERR_FILENO + 1) /* in the helper */

/* The texts follow, each with its end: path, user, the arguments, the environment. */
struct request {
	uid_t uid;
	gid_t gid;
	uint32_t n_arguments;
	uint32_t n_variables;
	bool has_cpus;
	bool has_cgroup;
	bool has_extra;
	bool dies_with_daemon;
	cpu_set_t cpus;
};

struct answer {
	pid_t pid; /* 0: none was made; else the daemon's to reap, also after an error */
	struct error error;
};

#define FDS_MAX 3

/* A request as it travels, and the descriptors with it. */
struct message {
	struct request request;
	char texts[REQUEST_BYTES_MAX];
	size_t length; /* of the texts */
	int output_fd, cgroup_fd, extra_fd;
};

union control {
	char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
	struct cmsghdr align;
};

static int socket_fd = -1; /* the daemon's end */
static pid_t helper;
static struct message message; /* large, and one is enough for either side */

/* ---- the daemon's side ----------------------------------------------------------------------- */

static int add_text(const char *text)
{
	size_t n = strlen(text) + 1;

	if (n > sizeof(message.texts) - message.length)
		return -E2BIG;
	memcpy(message.texts + message.length, text, n);
	message.length += n;
	return 0;
}

static int add_texts(char *const *texts, uint32_t *n)
{
	int rc = 0;

	for (*n = 0; rc == 0 && texts[*n]; ++*n)
		rc = add_text(texts[*n]);
	return rc;
}

static int fill_message(const struct spawn_options *options)
{
	struct request *request = &message.request;
	int rc;

	memset(request, 0, sizeof(*request));
	message.length = 0;
	request->uid = options->uid;
	request->gid = options->gid;
	request->has_cpus = options->cpus != NULL;
	request->has_cgroup = options->cgroup_fd >= 0;
	request->has_extra = options->extra_fd >= 0;
	request->dies_with_daemon = options->dies_with_daemon;
	if (options->cpus)
		request->cpus = *options->cpus;
	rc = add_text(options->path);
	if (rc == 0)
		rc = add_text(options->user);
	if (rc == 0)
		rc = add_texts(options->argv, &request->n_arguments);
	if (rc == 0)
		rc = add_texts(options->env, &request->n_variables);
	return rc;
}

static size_t list_descriptors(const struct spawn_options *options, int fds[FDS_MAX])
{
	size_t n = 0;

	fds[n++] = options->output_fd;
	if (options->cgroup_fd >= 0)
		fds[n++] = options->cgroup_fd;
	if (options->extra_fd >= 0)
		fds[n++] = options->extra_fd;
	return n;
}

static int send_message(const struct spawn_options *options)
{
	int fds[FDS_MAX];
	size_t n_bytes = list_descriptors(options, fds) * sizeof(int);
	struct iovec parts[] = {
		{&message.request, sizeof(message.request)}, {message.texts, message.length}};
	union control control = {0};
	struct msghdr header = {.msg_iov = parts,
		.msg_iovlen = 2,
		.msg_control = &control,
		.msg_controllen = CMSG_SPACE(n_bytes)};
	struct cmsghdr *rights = CMSG_FIRSTHDR(&header);

	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(n_bytes);
	memcpy(CMSG_DATA(rights), fds, n_bytes);
	return sendmsg(socket_fd, &header, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int receive_answer(int fd, struct answer *answer)
{
	ssize_t n;

	do
		n = recv(fd, answer, sizeof(*answer), 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n == sizeof(*answer) ? 0 : -EPIPE;
}

int spawner_spawn(const struct spawn_options *options, pid_t *pid, struct error *error)
{
	struct answer answer;
	int rc = fill_message(options);

	*pid = 0;
	if (rc)
		return error_set(error, -rc, "", "at most 64 KiB, environment included",
			"the command is too long");
	rc = send_message(options);
	if (rc == 0)
		rc = receive_answer(socket_fd, &answer);
	if (rc == -ECONNRESET) /* it died with the request unread */
		rc = -EPIPE;
	if (rc)
		return error_set(error, -rc, "", "restart netvmd",
			"the helper that starts NFs does not answer: %s", strerror(-rc));
	*pid = answer.pid;
	if (answer.error.code == 0)
		return 0;
	if (answer.pid)
		waitpid(answer.pid, NULL, 0);
	*pid = 0;
	*error = answer.error;
	return -answer.error.code;
}

bool spawner_runs(void)
{
	return socket_fd >= 0;
}

pid_t spawner_pid(void)
{
	return helper;
}

/* ---- the helper ------------------------------------------------------------------------------ */

/* The descriptors that came with a message; false when they are not those announced. */
static bool take_descriptors(struct msghdr *header)
{
	struct cmsghdr *rights = CMSG_FIRSTHDR(header);
	const struct request *request = &message.request;
	int fds[FDS_MAX] = {-1, -1, -1};
	size_t n = 0, taken = 0;

	if (rights && rights->cmsg_type == SCM_RIGHTS) {
		n = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(rights), n * sizeof(int));
	}
	message.output_fd = fds[taken++];
	message.cgroup_fd = request->has_cgroup ? fds[taken++] : -1;
	message.extra_fd = request->has_extra ? fds[taken++] : -1;
	return n == taken;
}

/* False: the daemon is gone. `valid`: whether the message is whole. */
static bool receive_message(bool *valid)
{
	struct iovec parts[] = {{&message.request, sizeof(message.request)},
		{message.texts, sizeof(message.texts)}};
	union control control = {0};
	struct msghdr header = {.msg_iov = parts,
		.msg_iovlen = 2,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	ssize_t n;

	do
		n = recvmsg(SOCKET_FD, &header, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return false;
	*valid = take_descriptors(&header) && n > (ssize_t)sizeof(message.request) &&
		 !(header.msg_flags & (MSG_TRUNC | MSG_CTRUNC));
	message.length = *valid ? (size_t)n - sizeof(message.request) : 0;
	return true;
}

/* The next text, or NULL behind the last whole one. */
static char *next_text(size_t *at)
{
	char *text = message.texts + *at;
	const char *end = memchr(text, '\0', message.length - *at);

	if (!end)
		return NULL;
	*at += (size_t)(end - text) + 1;
	return text;
}

/* Fills `words` with n texts and a NULL. */
static bool take_texts(size_t *at, char **words, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (!(words[i] = next_text(at)))
			return false;
	words[n] = NULL;
	return true;
}

/* `words` is the storage behind argv and env. */
static bool read_message(struct spawn_options *options, char *words[WORDS_MAX + 2])
{
	const struct request *request = &message.request;
	size_t at = 0;

	if (request->n_arguments > WORDS_MAX || request->n_arguments < 1 ||
		request->n_variables > WORDS_MAX - request->n_arguments)
		return false;
	*options = (struct spawn_options){.argv = words,
		.env = words + request->n_arguments + 1,
		.uid = request->uid,
		.gid = request->gid,
		.cpus = request->has_cpus ? &request->cpus : NULL,
		.output_fd = message.output_fd,
		.cgroup_fd = message.cgroup_fd,
		.extra_fd = message.extra_fd,
		.dies_with_daemon = request->dies_with_daemon};
	options->path = next_text(&at);
	options->user = options->path ? next_text(&at) : NULL;
	return options->user && take_texts(&at, words, request->n_arguments) &&
	       take_texts(&at, words + request->n_arguments + 1, request->n_variables) &&
	       at == message.length;
}

static bool is_allowed(const struct spawn_options *options, bool others_only)
{
	return !others_only || (options->uid != 0 && options->uid != geteuid() &&
				       options->gid != 0 && options->gid != getegid());
}

static void close_descriptor(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void handle_message(bool valid, bool others_only, struct answer *answer)
{
	static char *words[WORDS_MAX + 2];
	struct spawn_options options;

	if (!valid || !read_message(&options, words))
		error_set(&answer->error, EPROTO, "", "", "a request to start an NF is damaged");
	else if (!is_allowed(&options, others_only))
		error_set(&answer->error, EPERM, "user",
			"another user, such as nobody; or run netvmd with --user root",
			"no NF is started as %s: root and the daemon's own user and group are "
			"not for NFs",
			options.user);
	else
		spawn_child(&options, CLONE_PARENT, getppid(), &answer->pid, &answer->error);
	close_descriptor(message.output_fd);
	close_descriptor(message.cgroup_fd);
	close_descriptor(message.extra_fd);
}

static void send_answer(const struct answer *answer)
{
	(void)!send(SOCKET_FD, answer, sizeof(*answer), MSG_NOSIGNAL);
}

/* Signals are for the daemon, which ends the helper by closing the socket. */
static _Noreturn void helper_run(const struct spawner_options *options, int fd, pid_t daemon)
{
	struct answer answer = {0};
	sigset_t all;
	bool valid;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	prctl(PR_SET_NAME, "netvmd-spawner");
	if (dup2(fd, SOCKET_FD) < 0 || close_range(SOCKET_FD + 1, ~0U, 0))
		_exit(1);
	if (options->drop)
		options->drop(&answer.error);
	/* After the change of user, which would clear it. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	send_answer(&answer);
	while (!answer.error.code && getppid() == daemon && receive_message(&valid)) {
		answer.pid = 0;
		handle_message(valid, options->others_only, &answer);
		send_answer(&answer);
		answer.error.code = 0;
	}
	_exit(0);
}

int spawner_start(const struct spawner_options *options, struct error *error)
{
	struct answer answer = {0};
	pid_t daemon = getpid();
	int pair[2], rc;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return error_set(
			error, errno, "", "", "no socket for the helper: %s", strerror(errno));
	helper = fork();
	if (helper == 0)
		helper_run(options, pair[1], daemon);
	rc = helper < 0 ? -errno : 0;
	close(pair[1]);
	socket_fd = pair[0];
	if (rc == 0)
		rc = receive_answer(socket_fd, &answer);
	if (rc == 0 && answer.error.code == 0)
		return 0;
	spawner_stop();
	if (rc)
		return error_set(error, -rc, "", "",
			"the helper that starts NFs does not start: %s", strerror(-rc));
	*error = answer.error;
	return -answer.error.code;
}

void spawner_stop(void)
{
	if (socket_fd >= 0)
		close(socket_fd);
	if (helper > 0)
		waitpid(helper, NULL, 0);
	socket_fd = -1;
	helper = 0;
}

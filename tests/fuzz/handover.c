/*
 * From one daemon to the next (manager/handover.c): what the one that runs, perhaps of another
 * version, answers to the one that comes; and what the one that comes says to the one that waits.
 *
 * Properties: the one that comes goes on, with the lock, or gives up with a sentence; the one that
 * waits is done or runs again with the lock; every descriptor is closed behind either.
 */
#include <errno.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "manager/file.h"
#include "manager/handover.h"
#include "manager/module.h"
#include "tests/fuzz/fuzz.h"

static char folder[64], path[96];
static int listener;

static void start(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(folder, sizeof(folder), "/tmp/netvm-fuzz-handover.%d", getpid());
	snprintf(path, sizeof(path), "%s/api.sock", folder);
	require(mkdir(folder, 0700) == 0);
	memcpy(address.sun_path, path, sizeof(path));
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	require(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0);
	require(listen(listener, 4) == 0);
}

static void clean_up(void)
{
	char lock[96];

	snprintf(lock, sizeof(lock), "%s/lock", folder);
	unlink(lock);
	unlink(path);
	rmdir(folder);
}

static bool is_locked(void)
{
	int fd = file_open_lock(folder);
	bool locked = flock(fd, LOCK_EX | LOCK_NB) != 0;

	require(fd >= 0);
	close(fd);
	return locked;
}

/* Says it all at once and hangs up: the other side reads what lies there. */
static void say(int fd, const uint8_t *data, size_t size)
{
	(void)!send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	shutdown(fd, SHUT_WR);
}

static void come(const uint8_t *data, size_t size)
{
	const struct change change = {.phase = PHASE_START};
	struct error error = {0};
	int fd, rc;

	require(handover_call(folder, path, &error) == 0);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	require(fd >= 0);
	say(fd, data, size);
	rc = handover_module.prepare(&change, &error);
	require(rc == 0 || (rc < 0 && error.message[0]));
	require(is_locked() == (rc == 0));
	handover_end();
	close(fd);
}

static void wait_for(const uint8_t *data, size_t size)
{
	struct error error = {0};
	int pair[2], rc;

	require(handover_lock(folder, &error) == 0);
	require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	say(pair[1], data, size);
	handover_begin(pair[0]);
	require(handover_begun());
	rc = handover_await(&error);
	require(rc == 0 || rc == -ECANCELED);
	require(!handover_begun());
	require(rc == 0 || is_locked());
	handover_end();
	close(pair[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int before, after;

	if (!folder[0]) {
		start();
		atexit(clean_up);
	}
	before = dup(listener);
	if (size > 0 && data[0] % 2)
		wait_for(data + 1, size - 1);
	else if (size > 0)
		come(data + 1, size - 1);
	close(before);
	after = dup(listener); /* the lowest that is free */
	require(after == before);
	close(after);
	require(!is_locked());
	return 0;
}

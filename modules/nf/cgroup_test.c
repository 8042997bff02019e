/* Cgroups that are nobody's go, all others stay. Needs a cgroup v2 hierarchy it may write to. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "modules/nf/cgroup.h"

static struct cgroup own;
static pid_t member;

/* Beside our own. */
static void make(char path[PATH_MAX], const char *format, uint64_t number)
{
	char name[64];

	snprintf(name, sizeof(name), format, (unsigned long long)number, getpid() % 1000000);
	snprintf(path, PATH_MAX, "%.*s/%s", (int)(strrchr(own.path, '/') - own.path), own.path,
		name);
	assert_return_code(mkdir(path, 0755), errno);
}

static void enter(const char *path)
{
	char file[PATH_MAX + 16];
	FILE *procs;

	member = fork();
	if (member == 0) {
		pause();
		_exit(0);
	}
	snprintf(file, sizeof(file), "%s/cgroup.procs", path);
	procs = fopen(file, "w");
	assert_non_null(procs);
	fprintf(procs, "%d\n", member);
	assert_int_equal(fclose(procs), 0);
}

static void leave(void)
{
	kill(member, SIGKILL);
	waitpid(member, NULL, 0);
}

static bool is_there(const char *path)
{
	return access(path, F_OK) == 0;
}

static void empty_ones_go(void **state)
{
	char old[PATH_MAX], busy[PATH_MAX], fresh[PATH_MAX], other[PATH_MAX];
	uint64_t now_s = clock_ns(CLOCK_BOOTTIME) / 1000000000;
	struct cgroup next;

	(void)state;
	if (cgroup_create(&own, "test", NULL))
		skip();
	make(old, "nf-a-1-%llu-%06d", 1);
	make(busy, "nf-b-%llu-%06d", 1);
	make(fresh, "nf-c-%llu-%06d", now_s);
	make(other, "nf-%llu-limits%06d", 1);
	enter(busy);
	assert_int_equal(cgroup_create(&next, "test", NULL), 0);
	assert_false(is_there(old));
	assert_true(is_there(busy) && is_there(fresh) && is_there(other));
	assert_true(is_there(own.path) && is_there(next.path));
	leave();
	cgroup_destroy(&next);
	cgroup_destroy(&own);
	assert_int_equal(rmdir(busy) | rmdir(fresh) | rmdir(other), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_ones_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

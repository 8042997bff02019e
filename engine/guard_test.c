/*
 * The guard: a hole in a pool's memory reads as zeros and is told; nobody dies. The hole is made by
 * cutting the file, which gives the same SIGBUS as a huge page that is gone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/guard.h"

#define PAGE (2u << 20)

/* Two huge-page-aligned pages of a file of our own. */
static int map_file(struct buffer_pool *pool)
{
	uint8_t *room = mmap(NULL, 3 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = memfd_create("guard-test", MFD_CLOEXEC);

	assert_true(fd >= 0 && room != MAP_FAILED);
	pool->base = (uint8_t *)(((uintptr_t)room + PAGE - 1) & ~(uintptr_t)(PAGE - 1));
	pool->size_bytes = 2 * PAGE;
	assert_int_equal(ftruncate(fd, 2 * PAGE), 0);
	assert_ptr_equal(
		mmap(pool->base, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0),
		pool->base);
	memset(pool->base, 7, 2 * PAGE);
	return fd;
}

static void a_hole_reads_as_zeros_and_is_told(void **state)
{
	int notify = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	struct buffer_pool pool = {.memfd = -1};
	uint64_t count = 0;
	int fd = map_file(&pool);

	(void)state;
	guard_install(notify);
	assert_int_equal(guard_add(&pool), 0);
	assert_int_equal(ftruncate(fd, PAGE), 0);
	assert_int_equal(((volatile uint8_t *)pool.base)[PAGE + 5], 0);
	assert_int_equal(pool.base[5], 7); /* the other page is as it was */
	assert_true(pool.torn);
	assert_int_equal(read(notify, &count, sizeof(count)), sizeof(count));
	guard_remove(&pool);
	munmap(pool.base, 2 * PAGE);
	close(fd);
	close(notify);
}

/* A bus error elsewhere is a fault of our own and must show. */
static void other_memory_is_not_guarded(void **state)
{
	struct buffer_pool pool = {.memfd = -1};
	int status, fd = map_file(&pool);
	pid_t child;

	(void)state;
	guard_install(-1);
	assert_int_equal(ftruncate(fd, PAGE), 0);
	child = fork();
	if (child == 0) {
		((volatile uint8_t *)pool.base)[PAGE + 5] = 1;
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	munmap(pool.base, 2 * PAGE);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hole_reads_as_zeros_and_is_told),
		cmocka_unit_test(other_memory_is_not_guarded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * What an earlier daemon left (manager/state.c, estate.c): the running document, the one before it
 * and a note, each any bytes, or bytes with the head that belongs to them.
 *
 * Properties: a document is found or not, and is an object; a good one is found again when the
 * newer one is torn; whatever was there, what is written now is what is read next; notes are
 * objects.
 */
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manager/estate.h"
#include "manager/state.h"
#include "tests/fuzz/fuzz.h"

#define CONFIG "/nonexistent/netvm.yaml"

static char folder[64], running[96], previous[96], note[96];

static void put(const char *path, const void *bytes, size_t n)
{
	FILE *file = fopen(path, "we");

	require(file);
	require(fwrite(bytes, 1, n, file) == n);
	require(fclose(file) == 0);
}

static uint64_t sum(const uint8_t *bytes, size_t n)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3;
	return hash;
}

/* `format` 0: as it is. */
static void put_state(const char *path, const uint8_t *body, size_t n, unsigned format)
{
	FILE *file;

	if (format == 0) {
		put(path, body, n);
		return;
	}
	file = fopen(path, "we");
	require(file);
	fprintf(file,
		"{\"netvm-state\":%u,\"version\":\"0\",\"boot\":\"%s\",\"config\":\"" CONFIG
		"\",\"config_sum\":\"\",\"bytes\":%zu,\"sum\":\"%016" PRIx64 "\"}\n",
		format, estate_boot(), n, sum(body, n));
	require(fwrite(body, 1, n, file) == n);
	require(fclose(file) == 0);
}

static json_t *read_back(void)
{
	struct error error = {0};
	json_t *document = NULL;
	bool edited;
	int rc;

	state_open(folder, CONFIG);
	rc = state_read(&document, &edited, &error);
	require(rc == 0 || (error.code && error.message[0]));
	require(rc == 0 || !document);
	require(!document || json_is_object(document));
	return document;
}

static void must_come_back(json_t *document)
{
	json_t *found;

	state_write(document);
	found = read_back();
	require(json_equal(found, document));
	json_decref(found);
	put(running, "torn", 4);
	found = read_back();
	state_write(document);
	json_decref(found);
	found = read_back();
	require(json_equal(found, document));
	json_decref(found);
}

static void read_notes(const uint8_t *bytes, size_t n)
{
	json_t *notes, *one;
	const char *key;

	put(note, bytes, n);
	notes = estate_read("nf");
	require(json_object_size(notes) <= 1);
	json_object_foreach (notes, key, one)
		require(json_is_object(one) && strcmp(key, "7") == 0);
	json_decref(notes);
}

static void clean_up(void)
{
	state_remove();
	unlink(note);
	note[strlen(note) - strlen("/nf.7")] = '\0';
	rmdir(note);
	rmdir(folder);
}

static void start(void)
{
	struct error error = {0};

	snprintf(folder, sizeof(folder), "/tmp/netvm-fuzz-state.%d", getpid());
	snprintf(running, sizeof(running), "%s/running", folder);
	snprintf(previous, sizeof(previous), "%s/running.previous", folder);
	snprintf(note, sizeof(note), "%s/estate/nf.7", folder);
	require(mkdir(folder, 0700) == 0);
	require(estate_open(folder, &error) == 0);
	atexit(clean_up);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed feed = {data, size};
	unsigned format, format_before;
	json_t *document;
	size_t n;
	uint8_t *body;

	if (!folder[0])
		start();
	format = (unsigned)feed_number(&feed, 1) % 4;
	format_before = (unsigned)feed_number(&feed, 1) % 4;
	n = feed_number(&feed, 2);
	body = feed_block(&feed, &n);
	put_state(previous, body, n, format_before);
	put_state(running, feed.data, feed.size, format);
	read_notes(feed.data, feed.size);
	document = read_back();
	if (!document)
		document = json_pack("{s:{}}", "ports");
	must_come_back(document);
	json_decref(document);
	state_remove();
	free(body);
	return 0;
}

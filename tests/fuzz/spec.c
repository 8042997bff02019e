/*
 * The text behind "kind:" of a port (modules/port/spec.c).
 *
 * Properties: texts fit their field, numbers lie in their range; an error has a message and a
 * hint; what was understood, written out as name=value and parsed again is equal.
 */
#include <inttypes.h>

#include "modules/port/spec.h"
#include "tests/fuzz/fuzz.h"

struct options {
	char name[8];
	char out[16];
	uint64_t size;
	bool source;
	uint8_t mac[6];
	uint8_t canary[8];
};

static const struct spec_field fields[] = {
	{"NAME", SPEC_TEXT, SPEC_REQUIRED, offsetof(struct options, name), 8},
	{"OUT", SPEC_TEXT, SPEC_POSITIONAL, offsetof(struct options, out), 16},
	{"size", SPEC_NUMBER, SPEC_OPTION, offsetof(struct options, size), 0, 60, 9000},
	{"source", SPEC_SWITCH, SPEC_OPTION, offsetof(struct options, source)},
	{"mac", SPEC_ADDRESS, SPEC_OPTION, offsetof(struct options, mac)},
	{NULL},
};

static const struct options preset = {.size = 64, .canary = "guarded"};

static void parses_again(const struct options *options)
{
	struct options again = preset;
	struct error error = {0};
	char text[256];

	snprintf(text, sizeof(text),
		"%s,%s,size=%" PRIu64 ",source=%s,mac=%02x:%02x:%02x:%02x:%02x:%02x", options->name,
		options->out, options->size, options->source ? "on" : "off", options->mac[0],
		options->mac[1], options->mac[2], options->mac[3], options->mac[4],
		options->mac[5]);
	require(spec_parse(text, fields, "test:NAME", &again, &error) == 0);
	require(memcmp(options, &again, sizeof(again)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed feed = {data, size};
	struct options options = preset;
	char *text = feed_text(&feed);
	struct error error = {0};

	if (spec_parse(text, fields, "test:NAME", &options, &error)) {
		require(error.message[0] && error.hint[0]);
	} else {
		require(memchr(options.name, '\0', sizeof(options.name)) && options.name[0]);
		require(memchr(options.out, '\0', sizeof(options.out)));
		require(options.size >= 60 && options.size <= 9000);
		require(*(uint8_t *)&options.source <= 1);
		parses_again(&options);
	}
	require(memcmp(options.canary, preset.canary, sizeof(preset.canary)) == 0);
	free(text);
	return 0;
}

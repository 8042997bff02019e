/* Choices: unique prefixes, candidates, "did you mean". See choices.h. */
#include "cli/choices.h"

#include <stdlib.h>
#include <string.h>

#include "common/error.h"

void choices_add(struct choices *choices, const char *text, const char *help)
{
	for (unsigned i = 0; i < choices->n; i++) {
		if (strcmp(choices->at[i].text, text) == 0)
			return;
	}
	if ((choices->n & (choices->n - 1)) == 0) { /* full: room doubles at powers of two */
		struct choice *at =
			realloc(choices->at, (choices->n ? 2 * choices->n : 1) * sizeof(*at));

		if (!at)
			return;
		choices->at = at;
	}
	choices->at[choices->n] = (struct choice){strdup(text), help};
	choices->n += choices->at[choices->n].text != NULL;
}

void choices_free(struct choices *choices)
{
	for (unsigned i = 0; i < choices->n; i++)
		free(choices->at[i].text);
	free(choices->at);
	*choices = (struct choices){0};
}

static bool choice_begins(const struct choice *choice, const char *prefix, size_t length)
{
	return strncmp(choice->text, prefix, length) == 0;
}

void choices_list(
	const struct choices *choices, const char *prefix, size_t length, char *text, size_t size)
{
	unsigned n = 0, left = 0;
	size_t used = 0;

	for (unsigned i = 0; i < choices->n; i++)
		left += choice_begins(&choices->at[i], prefix, length);
	text[0] = '\0';
	for (unsigned i = 0; i < choices->n && used < size; i++) {
		if (!choice_begins(&choices->at[i], prefix, length))
			continue;
		left--;
		used += (size_t)snprintf(text + used, size - used, "%s%s",
			n == 0      ? ""
			: left == 0 ? " or "
				    : ", ",
			choices->at[i].text);
		n++;
	}
}

/* The choice nearest to a mistyped word, or NULL. */
static const char *choices_nearest(const struct choices *choices, const char *word)
{
	const char **names = calloc(choices->n + 1, sizeof(*names));
	const char *nearest = NULL;

	if (!names)
		return NULL;
	for (unsigned i = 0; i < choices->n; i++)
		names[i] = choices->at[i].text;
	nearest = error_nearest(word, names);
	free(names);
	return nearest;
}

static int choices_unknown(const struct choices *choices, const char *word, const char *what,
	struct spot spot, struct fault *fault)
{
	const char *nearest = choices_nearest(choices, word);
	char list[800], hint[900];

	choices_list(choices, "", 0, list, sizeof(list));
	if (nearest)
		snprintf(hint, sizeof(hint), "did you mean %s? valid: %s", nearest, list);
	else if (choices->n)
		snprintf(hint, sizeof(hint), "valid: %s", list);
	else
		snprintf(hint, sizeof(hint), "there is none");
	return fault_usage(
		fault, spot.word, spot.offset, spot.length, hint, "\"%s\" is not %s", word, what);
}

int choices_match(const struct choices *choices, const char *text, size_t length, const char *what,
	struct spot spot, struct fault *fault)
{
	char word[128], list[800], hint[900];
	int found = -1;
	unsigned n = 0;

	snprintf(word, sizeof(word), "%.*s", (int)length, text);
	for (unsigned i = 0; i < choices->n; i++) {
		if (!choice_begins(&choices->at[i], text, length))
			continue;
		if (!choices->at[i].text[length])
			return (int)i;
		found = (int)i;
		n++;
	}
	if (n == 1 && length > 0)
		return found;
	if (n == 0 || length == 0)
		return choices_unknown(choices, word, what, spot, fault);
	choices_list(choices, text, length, list, sizeof(list));
	snprintf(hint, sizeof(hint), "it could be %s", list);
	return fault_usage(
		fault, spot.word, spot.offset, spot.length, hint, "\"%s\" is ambiguous", word);
}

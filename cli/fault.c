/* Filling and printing of faults. See fault.h. */
#include "cli/fault.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

static void fault_fill(struct fault *fault, enum fault_status status, const char *hint,
	const char *format, va_list args)
{
	fault->status = status;
	fault->word = FAULT_NO_WORD;
	snprintf(fault->hint, sizeof(fault->hint), "%s", hint ? hint : "");
	vsnprintf(fault->message, sizeof(fault->message), format, args);
}

int fault_usage(struct fault *fault, int word, size_t offset, size_t length, const char *hint,
	const char *format, ...)
{
	va_list args;

	if (fault->status)
		return -EINVAL;
	va_start(args, format);
	fault_fill(fault, FAULT_USAGE, hint, format, args);
	va_end(args);
	fault->word = word;
	fault->offset = offset;
	fault->length = length;
	return -EINVAL;
}

int fault_other(
	struct fault *fault, enum fault_status status, const char *hint, const char *format, ...)
{
	va_list args;

	if (fault->status)
		return -EIO;
	va_start(args, format);
	fault_fill(fault, status, hint, format, args);
	va_end(args);
	return -EIO;
}

/* Columns that n bytes of UTF-8 take on a terminal, wide characters aside. */
static int columns(const char *text, size_t n)
{
	int n_columns = 0;

	for (size_t i = 0; i < n && text[i]; i++)
		n_columns += ((unsigned char)text[i] & 0xc0) != 0x80;
	return n_columns;
}

static const char *quote_of(const char *word)
{
	return !*word || strpbrk(word, " \t\n\"\\$") ? "'" : "";
}

/* The line as typed, and a caret below the part to blame. Word n_words is one that is missing. */
static void print_caret(const struct fault *fault, FILE *out, int n_words, char *const *words)
{
	const char *blamed = fault->word < n_words ? words[fault->word] : "";
	size_t length = fault->length ? fault->length : strlen(blamed + fault->offset);
	int before = 2;
	int n_carets = columns(blamed + fault->offset, length);

	fputc(' ', out);
	for (int i = 0; i < n_words; i++) {
		const char *quote = quote_of(words[i]);

		fprintf(out, " %s%s%s", quote, words[i], quote);
		if (i < fault->word)
			before += columns(words[i], strlen(words[i])) + 1 + 2 * (int)strlen(quote);
	}
	if (*blamed)
		before += columns(blamed, fault->offset) + (int)strlen(quote_of(blamed));
	fprintf(out, "\n%*s^", before, "");
	while (--n_carets > 0)
		fputc('^', out);
	fputc('\n', out);
}

void fault_print(const struct fault *fault, FILE *out, int n_words, char *const *words)
{
	fputs("netvm: ", out);
	if (fault->path[0])
		fprintf(out, "%s: ", fault->path);
	fprintf(out, "%s\n", fault->message);
	if (fault->word >= 0 && n_words > 0)
		print_caret(fault, out, n_words, words);
	if (fault->source[0])
		fprintf(out, "  %s\n", fault->source);
	if (fault->hint[0])
		fprintf(out, "  %s\n", fault->hint);
}

void fault_clear(struct fault *fault)
{
	json_decref(fault->answer);
	*fault = (struct fault){.word = FAULT_NO_WORD};
}

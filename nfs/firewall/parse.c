/*
 * The language of rule files. See README.md for what it means and rules.h for what comes out.
 *
 *   file       = { [ line ] [ "#" comment ] newline }
 *   line       = ("allow" | "drop") { condition }
 *              | ("default" | "arp" | "ndp" | "other" | "midstream") ("allow" | "drop")
 *              | "timeout" NAME SECONDS
 *   condition  = "in" PORT | "proto" PROTOCOL | "established" | "related"
 *              | ("from" | "to") (ADDRESS[/BITS] | "any") [ "port" N[-M] ]
 */
#include "firewall/rules.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "firewall/values.h"

#define LINE_BYTES_MAX 1000u
#define TOKENS_MAX     40u /* a line with every condition has fewer */

struct token {
	const char *text;
	unsigned column;
};

struct parser {
	struct ruleset *ruleset;
	struct rules_error *error;
	uint32_t rules_capacity;
	unsigned line;
	unsigned n_tokens;
	unsigned at;                    /* the token to look at next */
	struct token token[TOKENS_MAX]; /* one behind the last says where the line ends */
};

/* ---- tokens and where they stand ----------------------------------------------------------- */

/* The error just set is about this token. */
static int at_token(struct parser *parser, unsigned token)
{
	parser->error->line = parser->line;
	parser->error->column = parser->token[token].column;
	return -EINVAL;
}

/* The next token, or NULL with an error about the line's end. */
static const char *token_next(struct parser *parser, const char *valid)
{
	if (parser->at < parser->n_tokens)
		return parser->token[parser->at++].text;
	rules_error_set(parser->error, valid, "\"%s\" needs something behind it",
		parser->token[parser->at - 1].text);
	at_token(parser, parser->at);
	return NULL;
}

static bool token_skip(struct parser *parser, const char *text)
{
	if (parser->at >= parser->n_tokens || strcmp(parser->token[parser->at].text, text) != 0)
		return false;
	parser->at++;
	return true;
}

/* What a value_*() said of the token just taken. */
static int value_end(struct parser *parser, int error)
{
	return error ? at_token(parser, parser->at - 1) : 0;
}

/* ---- conditions ---------------------------------------------------------------------------- */

static int protocol_parse(struct parser *parser, struct rule *rule)
{
	const char *text = token_next(parser, VALUES_PROTOCOLS);
	int protocol;

	if (!text)
		return -EINVAL;
	if (value_protocol(text, &protocol, parser->error))
		return at_token(parser, parser->at - 1);
	rule->has_protocol = protocol >= 0;
	rule->protocol = (uint8_t)protocol;
	return 0;
}

/* The names of ports become numbers: places in ruleset->port. */
static int in_parse(struct parser *parser, struct rule *rule)
{
	struct ruleset *ruleset = parser->ruleset;
	const char *name = token_next(parser, VALUES_NAMES);
	unsigned i = 0;

	if (!name)
		return -EINVAL;
	if (value_name(name, parser->error))
		return at_token(parser, parser->at - 1);
	while (i < ruleset->n_ports && strcmp(ruleset->port[i], name) != 0)
		i++;
	if (i == RULES_PORTS_MAX) {
		rules_error_set(parser->error, "at most 255 ports", "too many names of ports");
		return at_token(parser, parser->at - 1);
	}
	if (i == ruleset->n_ports) {
		snprintf(ruleset->port[i], sizeof(ruleset->port[i]), "%s", name);
		ruleset->n_ports++;
	}
	rule->in = (uint8_t)(i + 1);
	return 0;
}

static int prefix_parse(struct parser *parser, struct rule *rule, struct prefix *prefix)
{
	const char *text = token_next(parser, VALUES_PREFIXES);
	uint8_t family;

	if (!text)
		return -EINVAL;
	if (value_prefix(text, prefix, &family, parser->error))
		return at_token(parser, parser->at - 1);
	if (rule->family && family && rule->family != family) {
		rules_error_set(parser->error, "both IPv4 or both IPv6",
			"%s is of another IP version than the address before", text);
		return at_token(parser, parser->at - 1);
	}
	if (family)
		rule->family = family;
	return 0;
}

static int end_parse(
	struct parser *parser, struct rule *rule, struct prefix *prefix, struct port_range *range)
{
	int error = prefix_parse(parser, rule, prefix);
	const char *text;

	if (error || !token_skip(parser, "port"))
		return error;
	text = token_next(parser, VALUES_PORTS);
	if (!text)
		return -EINVAL;
	rule->has_ports = true;
	return value_end(parser, value_ports(text, range, parser->error));
}

static int from_parse(struct parser *parser, struct rule *rule)
{
	return end_parse(parser, rule, &rule->src, &rule->src_port);
}

static int to_parse(struct parser *parser, struct rule *rule)
{
	return end_parse(parser, rule, &rule->dst, &rule->dst_port);
}

static int established_parse(struct parser *parser, struct rule *rule)
{
	(void)parser;
	rule->states |= STATE_ESTABLISHED;
	return 0;
}

static int related_parse(struct parser *parser, struct rule *rule)
{
	(void)parser;
	rule->states |= STATE_RELATED;
	return 0;
}

static const struct {
	const char *word;
	int (*parse)(struct parser *parser, struct rule *rule);
} conditions[] = {
	{"in", in_parse},
	{"proto", protocol_parse},
	{"from", from_parse},
	{"to", to_parse},
	{"established", established_parse},
	{"related", related_parse},
};

static int condition_parse(struct parser *parser, struct rule *rule, unsigned *seen)
{
	static const char valid[] = "in PORT, proto P, from ADDRESS [port N], to ADDRESS [port N], "
				    "established, related";
	unsigned at = parser->at++;
	const char *word = parser->token[at].text;

	for (unsigned i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
		if (strcmp(word, conditions[i].word) != 0)
			continue;
		if (*seen & 1u << i) {
			rules_error_set(
				parser->error, "each once", "\"%s\" stands here twice", word);
			return at_token(parser, at);
		}
		*seen |= 1u << i;
		return conditions[i].parse(parser, rule);
	}
	if (strcmp(word, "port") == 0)
		rules_error_set(parser->error, "from any port N, to any port N",
			"\"port\" stands behind an address");
	else
		rules_error_set(parser->error, valid, "\"%s\" is no condition", word);
	return at_token(parser, at);
}

/* TCP, UDP, DCCP, SCTP, UDP-Lite: as netvm_flow_ports(). */
static bool protocol_has_ports(uint8_t protocol)
{
	return protocol == 6 || protocol == 17 || protocol == 33 || protocol == 132 ||
	       protocol == 136;
}

/* What each condition allows but not all of them together. */
static int rule_check(struct parser *parser, const struct rule *rule)
{
	if (rule->has_ports && (!rule->has_protocol || !protocol_has_ports(rule->protocol))) {
		rules_error_set(parser->error, "proto tcp, udp, 33, 132 or 136 with it",
			"a rule with a port needs a protocol that has ports");
		return at_token(parser, 0);
	}
	if (rule->has_protocol &&
		((rule->protocol == NETVM_PROTO_ICMP && rule->family == 6) ||
			(rule->protocol == NETVM_PROTO_ICMPV6 && rule->family == 4))) {
		rules_error_set(parser->error, "icmp with IPv4, icmpv6 with IPv6",
			"the protocol is of another IP version than the addresses");
		return at_token(parser, 0);
	}
	return 0;
}

/* ---- lines --------------------------------------------------------------------------------- */

static char *line_text(const struct parser *parser)
{
	char text[LINE_BYTES_MAX + 1] = "";
	size_t used = 0;

	for (unsigned i = 0; i < parser->n_tokens; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", i ? " " : "",
			parser->token[i].text);
	return strdup(text);
}

static int rule_add(struct parser *parser, const struct rule *rule)
{
	struct ruleset *ruleset = parser->ruleset;
	char *text;

	if (ruleset->n_rules == parser->rules_capacity) {
		uint32_t capacity = parser->rules_capacity ? 2 * parser->rules_capacity : 64;
		void *larger = reallocarray(ruleset->rules, capacity, sizeof(*rule));

		if (!larger)
			return -ENOMEM;
		ruleset->rules = larger;
		parser->rules_capacity = capacity;
	}
	text = line_text(parser);
	if (!text)
		return -ENOMEM;
	ruleset->rules[ruleset->n_rules] = *rule;
	ruleset->rules[ruleset->n_rules].text = text;
	ruleset->n_rules++;
	return 0;
}

static int rule_parse(struct parser *parser)
{
	struct rule rule = {
		.src_port = {0, 65535},
		.dst_port = {0, 65535},
		.allow = strcmp(parser->token[0].text, "allow") == 0,
		.line = parser->line,
	};
	unsigned seen = 0;
	int error = 0;

	if (parser->ruleset->n_rules == RULES_MAX) {
		rules_error_set(parser->error, "at most 65536", "too many rules");
		return at_token(parser, 0);
	}
	while (!error && parser->at < parser->n_tokens)
		error = condition_parse(parser, &rule, &seen);
	if (!error)
		error = rule_check(parser, &rule);
	if (error)
		return error;
	if (rule.states)
		parser->ruleset->stateful = true;
	else
		rule.states = STATE_ANY;
	return rule_add(parser, &rule);
}

static int timeout_parse(struct parser *parser)
{
	static const char valid[] = "tcp-opening, tcp-established, tcp-closing, tcp-closed, "
				    "udp-new, udp, icmp, other";
	const char *name = token_next(parser, valid), *text;
	unsigned i = 0;

	if (!name)
		return -EINVAL;
	while (i < TIMEOUTS && strcmp(name, conntrack_timeout_names[i]) != 0)
		i++;
	if (i == TIMEOUTS) {
		rules_error_set(parser->error, valid, "\"%s\" is no timeout", name);
		return at_token(parser, parser->at - 1);
	}
	text = token_next(parser, VALUES_SECONDS);
	if (!text)
		return -EINVAL;
	return value_end(
		parser, value_seconds(text, &parser->ruleset->policy.timeout_s[i], parser->error));
}

static int policy_parse(struct parser *parser)
{
	struct ruleset *ruleset = parser->ruleset;
	const struct {
		const char *word;
		bool *allow;
	} policies[] = {
		{"default", &ruleset->allow_default},
		{"arp", &ruleset->allow_arp},
		{"ndp", &ruleset->allow_ndp},
		{"other", &ruleset->allow_other},
		{"midstream", &ruleset->policy.midstream},
	};
	const char *text = token_next(parser, VALUES_ACTIONS);
	unsigned i = 0;

	if (!text)
		return -EINVAL;
	while (strcmp(policies[i].word, parser->token[0].text) != 0)
		i++;
	return value_end(parser, value_action(text, policies[i].allow, parser->error));
}

static const struct {
	const char *word;
	int (*parse)(struct parser *parser);
} statements[] = {
	{"allow", rule_parse},
	{"drop", rule_parse},
	{"default", policy_parse},
	{"arp", policy_parse},
	{"ndp", policy_parse},
	{"other", policy_parse},
	{"midstream", policy_parse},
	{"timeout", timeout_parse},
};

static int statement_parse(struct parser *parser)
{
	static const char valid[] = "allow, drop, default, arp, ndp, other, midstream, timeout";
	const char *word = parser->token[0].text;
	int error;

	parser->at = 1;
	for (unsigned i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
		if (strcmp(word, statements[i].word) != 0)
			continue;
		error = statements[i].parse(parser);
		if (error || parser->at == parser->n_tokens)
			return error;
		rules_error_set(parser->error, "the end of the line", "\"%s\" is too much",
			parser->token[parser->at].text);
		return at_token(parser, parser->at);
	}
	rules_error_set(parser->error, valid, "\"%s\" is no statement", word);
	return at_token(parser, 0);
}

/* Cut a line into tokens, in place; a comment ends it. */
static int line_split(struct parser *parser, char *line)
{
	char *at = line;

	line[strcspn(line, "#\r\n")] = '\0';
	for (parser->n_tokens = 0;; parser->n_tokens++) {
		struct token *token = &parser->token[parser->n_tokens];

		at += strspn(at, " \t");
		*token = (struct token){.text = at, .column = (unsigned)(at - line) + 1};
		if (!*at)
			return 0;
		if (parser->n_tokens == TOKENS_MAX - 1)
			break;
		at += strcspn(at, " \t");
		if (*at)
			*at++ = '\0';
	}
	rules_error_set(parser->error, "at most 39", "too many words in the line");
	return at_token(parser, parser->n_tokens);
}

static int line_parse(struct parser *parser, char *line, size_t length)
{
	int error;

	parser->line++;
	parser->token[0].column = 1;
	if (length > LINE_BYTES_MAX || strlen(line) != length) {
		rules_error_set(parser->error, "text, at most 1000 bytes",
			length > LINE_BYTES_MAX ? "the line is too long" : "a NUL byte");
		return at_token(parser, 0);
	}
	error = line_split(parser, line);
	if (error || parser->n_tokens == 0)
		return error;
	return statement_parse(parser);
}

static int lines_parse(struct parser *parser, FILE *file)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t length;
	int error = 0;

	while (!error && (length = getline(&line, &size, file)) >= 0)
		error = line_parse(parser, line, (size_t)length);
	free(line);
	return !error && ferror(file) ? -EIO : error;
}

int ruleset_parse(FILE *file, struct ruleset **ruleset, struct rules_error *error)
{
	struct parser parser = {.error = error, .ruleset = calloc(1, sizeof(**ruleset))};
	int result = -ENOMEM;

	*error = (struct rules_error){0};
	if (parser.ruleset) {
		parser.ruleset->allow_arp = true;
		parser.ruleset->allow_ndp = true;
		parser.ruleset->policy = conntrack_policy_default;
		result = lines_parse(&parser, file);
	}
	if (result == 0) {
		*ruleset = parser.ruleset;
		return 0;
	}
	if (result != -EINVAL)
		rules_error_set(error, "a readable file of rules", "%s", strerror(-result));
	ruleset_destroy(parser.ruleset);
	return result;
}

int ruleset_load(const char *path, struct ruleset **ruleset, struct rules_error *error)
{
	FILE *file = fopen(path, "re");
	int result;

	if (!file) {
		result = -errno;
		*error = (struct rules_error){0};
		rules_error_set(error, "a readable file of rules", "%s", strerror(-result));
		return result;
	}
	result = ruleset_parse(file, ruleset, error);
	fclose(file);
	return result;
}

void rules_error_print(const struct rules_error *error, const char *path, FILE *file)
{
	fprintf(file, "%s:", path);
	if (error->line)
		fprintf(file, "%u:%u:", error->line, error->column);
	fprintf(file, " %s; valid: %s\n", error->message, error->valid);
}

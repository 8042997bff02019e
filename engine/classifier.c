/* Rules to a librte_acl trie and back. See classifier.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_acl.h>
#include <rte_byteorder.h>

#include "engine/classifier.h"
#include "engine/datapath.h"

#define CLASSIFIER_BYTES_MAX (UINT64_C(256) << 20)

/* What librte_acl reads: network byte order, in groups of four bytes behind the first one. */
struct acl_key {
	uint8_t protocol;
	uint8_t pad[3];
	uint8_t src[16];
	uint8_t dst[16];
	uint16_t src_port;
	uint16_t dst_port;
	uint16_t in_port;
	uint16_t eth_type;
	uint16_t vlan;
	uint16_t family;
};

enum acl_field {
	FIELD_PROTOCOL,
	FIELD_SRC, /* four words each */
	FIELD_DST = FIELD_SRC + 4,
	FIELD_SRC_PORT = FIELD_DST + 4,
	FIELD_DST_PORT,
	FIELD_IN_PORT,
	FIELD_ETH_TYPE,
	FIELD_VLAN,
	FIELD_FAMILY,
	FIELDS
};

RTE_ACL_RULE_DEF(acl_rule, FIELDS);

struct classifier {
	struct rte_acl_ctx *acl;
};

static struct rte_acl_field_def field_def(
	unsigned field, uint8_t type, uint8_t size, unsigned input, size_t offset)
{
	return (struct rte_acl_field_def){
		.type = type,
		.size = size,
		.field_index = (uint8_t)field,
		.input_index = (uint8_t)input,
		.offset = (uint32_t)offset,
	};
}

static void describe(struct rte_acl_config *config)
{
	const struct {
		uint8_t type;
		size_t offset;
	} shorts[] = {
		{RTE_ACL_FIELD_TYPE_RANGE, offsetof(struct acl_key, src_port)},
		{RTE_ACL_FIELD_TYPE_RANGE, offsetof(struct acl_key, dst_port)},
		{RTE_ACL_FIELD_TYPE_BITMASK, offsetof(struct acl_key, in_port)},
		{RTE_ACL_FIELD_TYPE_BITMASK, offsetof(struct acl_key, eth_type)},
		{RTE_ACL_FIELD_TYPE_BITMASK, offsetof(struct acl_key, vlan)},
		{RTE_ACL_FIELD_TYPE_BITMASK, offsetof(struct acl_key, family)},
	};

	memset(config, 0, sizeof(*config));
	config->num_categories = 1;
	config->num_fields = FIELDS;
	config->max_size = CLASSIFIER_BYTES_MAX;
	config->defs[FIELD_PROTOCOL] = field_def(FIELD_PROTOCOL, RTE_ACL_FIELD_TYPE_BITMASK, 1, 0,
		offsetof(struct acl_key, protocol));
	for (unsigned i = 0; i < 8; i++)
		config->defs[FIELD_SRC + i] = field_def(FIELD_SRC + i, RTE_ACL_FIELD_TYPE_MASK, 4,
			1 + i, offsetof(struct acl_key, src) + (size_t)i * 4);
	for (unsigned i = 0; i < 6; i++)
		config->defs[FIELD_SRC_PORT + i] = field_def(
			FIELD_SRC_PORT + i, shorts[i].type, 2, 9 + i / 2, shorts[i].offset);
}

/* A prefix of the 128-bit address, cut into four words. */
static void set_address(struct rte_acl_field *field, const uint8_t address[16], unsigned prefix)
{
	for (unsigned i = 0; i < 4; i++) {
		unsigned bits = prefix > i * 32 ? prefix - i * 32 : 0;
		uint32_t word;

		memcpy(&word, address + (size_t)i * 4, 4);
		field[i].value.u32 = bits ? rte_be_to_cpu_32(word) : 0;
		field[i].mask_range.u32 = bits > 32 ? 32 : bits;
	}
}

static void set_bits(struct rte_acl_field *field, bool given, uint16_t value, uint16_t mask)
{
	field->value.u16 = given ? value : 0;
	field->mask_range.u16 = given ? mask : 0;
}

static void set_range(struct rte_acl_field *field, uint16_t min, uint16_t max)
{
	field->value.u16 = min;
	field->mask_range.u16 = max;
}

/* `order` is the rule's rank among n, 0 first: the library wants distinct positive priorities. */
static void translate(const struct rule *rule, unsigned order, unsigned n, struct acl_rule *acl)
{
	const struct match *match = &rule->match;

	memset(acl, 0, sizeof(*acl));
	acl->data.category_mask = 1;
	acl->data.priority = (int32_t)(n - order);
	acl->data.userdata = rule->program + 1; /* 0 is "no match" */
	acl->field[FIELD_PROTOCOL].value.u8 = match->has_protocol ? match->protocol : 0;
	acl->field[FIELD_PROTOCOL].mask_range.u8 = match->has_protocol ? 0xff : 0;
	set_address(&acl->field[FIELD_SRC], match->src, match->src_prefix);
	set_address(&acl->field[FIELD_DST], match->dst, match->dst_prefix);
	set_range(&acl->field[FIELD_SRC_PORT], match->src_port_min, match->src_port_max);
	set_range(&acl->field[FIELD_DST_PORT], match->dst_port_min, match->dst_port_max);
	set_bits(&acl->field[FIELD_IN_PORT], match->in_port,
		match->in_port ? match->in_port->number : 0, 0xffff);
	set_bits(&acl->field[FIELD_ETH_TYPE], match->eth_type, match->eth_type, 0xffff);
	set_bits(&acl->field[FIELD_VLAN], match->has_vlan, match->vlan, 0x0fff);
	set_bits(&acl->field[FIELD_FAMILY], match->family, match->family, 0xffff);
}

static int compare_rules(const void *a, const void *b)
{
	const struct rule *const *x = a, *const *y = b;

	if ((*x)->priority != (*y)->priority)
		return (*x)->priority > (*y)->priority ? -1 : 1;
	return *x < *y ? -1 : *x > *y;
}

static int add_rules(struct rte_acl_ctx *acl, const struct rule *rules, unsigned n)
{
	const struct rule **sorted = calloc(n, sizeof(*sorted));
	struct acl_rule *translated = calloc(n, sizeof(*translated));
	int err = -ENOMEM;

	if (sorted && translated) {
		for (unsigned i = 0; i < n; i++)
			sorted[i] = &rules[i];
		qsort(sorted, n, sizeof(*sorted), compare_rules);
		for (unsigned i = 0; i < n; i++)
			translate(sorted[i], i, n, &translated[i]);
		err = rte_acl_add_rules(acl, (const struct rte_acl_rule *)translated, n);
	}
	free(sorted);
	free(translated);
	return err;
}

int classifier_create(
	const struct rule *rules, unsigned n_rules, struct classifier **out, struct error *error)
{
	static unsigned serial;
	char name[RTE_ACL_NAMESIZE];
	struct rte_acl_param param = {
		.name = name,
		.socket_id = SOCKET_ID_ANY,
		.rule_size = RTE_ACL_RULE_SZ(FIELDS),
		.max_rule_num = n_rules,
	};
	struct classifier *classifier = calloc(1, sizeof(*classifier));
	struct rte_acl_config config;
	int err = -ENOMEM;

	snprintf(name, sizeof(name), "netvm-%u", serial++);
	if (classifier && (classifier->acl = rte_acl_create(&param)))
		err = add_rules(classifier->acl, rules, n_rules);
	describe(&config);
	if (!err)
		err = rte_acl_build(classifier->acl, &config);
	if (!err) {
		*out = classifier;
		return 0;
	}
	classifier_destroy(classifier);
	return error_set(error, err == -ENOMEM || err == -ERANGE ? E2BIG : -err, "flows",
		"use fewer flows, or fewer port ranges and prefixes that overlap",
		"the classifier for %u rules cannot be built: %s", n_rules, strerror(-err));
}

void classifier_destroy(struct classifier *classifier)
{
	if (!classifier)
		return;
	rte_acl_free(classifier->acl);
	free(classifier);
}

uint32_t classifier_match(const struct classifier *classifier, const struct flow_id *id)
{
	struct acl_key key = {
		.protocol = id->key.protocol,
		.src_port = rte_cpu_to_be_16(id->key.src_port),
		.dst_port = rte_cpu_to_be_16(id->key.dst_port),
		.in_port = rte_cpu_to_be_16(id->in_port),
		.eth_type = rte_cpu_to_be_16(id->key.eth_type),
		.vlan = rte_cpu_to_be_16(id->key.vlan_tci),
		.family = rte_cpu_to_be_16(id->key.family),
	};
	const uint8_t *data = (const uint8_t *)&key;
	uint32_t result = 0;

	memcpy(key.src, id->key.src, 16);
	memcpy(key.dst, id->key.dst, 16);
	rte_acl_classify(classifier->acl, &data, &result, 1, 1);
	return result ? result - 1 : CLASSIFIER_NO_MATCH;
}

const struct program *classifier_lookup(const struct steering *steering, const struct flow_id *id)
{
	uint32_t index = classifier_match(steering->classifier, id);

	return index == CLASSIFIER_NO_MATCH ? NULL : steering->program[index];
}

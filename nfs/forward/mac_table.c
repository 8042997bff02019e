/* MAC learning with ageing in fixed memory. See mac_table.h. */
#include "forward/mac_table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>

#define BUCKET_ENTRIES 4

struct mac_entry {
	uint64_t key; /* MAC address 48 bits, VLAN 16; 0: empty (a station never has address 0) */
	uint32_t seen_s;
	uint16_t port;
};

struct mac_bucket {
	struct mac_entry entry[BUCKET_ENTRIES];
};

struct mac_table {
	struct mac_bucket *buckets;
	uint32_t mask;
	uint32_t age_s;
};

int mac_table_create(uint32_t n_entries, uint32_t age_s, struct mac_table **table)
{
	uint32_t n_buckets = 1;

	while (n_buckets < n_entries / BUCKET_ENTRIES + 1)
		n_buckets *= 2;
	*table = malloc(sizeof(**table));
	if (!*table)
		return -ENOMEM;
	**table = (struct mac_table){.mask = n_buckets - 1, .age_s = age_s};
	(*table)->buckets = aligned_alloc(64, n_buckets * sizeof(struct mac_bucket));
	if (!(*table)->buckets) {
		free(*table);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < n_buckets; i++)
		(*table)->buckets[i] = (struct mac_bucket){0};
	return 0;
}

void mac_table_destroy(struct mac_table *table)
{
	if (!table)
		return;
	free(table->buckets);
	free(table);
}

static uint64_t mac_key(const uint8_t mac[6], uint16_t vlan)
{
	uint64_t key = 0;

	for (unsigned i = 0; i < 6; i++)
		key = key << 8 | mac[i];
	return key << 16 | vlan;
}

static struct mac_bucket *mac_bucket(const struct mac_table *table, uint64_t key)
{
	uint64_t hash = key * UINT64_C(0x9e3779b97f4a7c15);

	return &table->buckets[hash >> 32 & table->mask];
}

static bool entry_live(const struct mac_table *table, const struct mac_entry *entry, uint32_t now_s)
{
	return entry->key && now_s - entry->seen_s < table->age_s;
}

void mac_table_learn(
	struct mac_table *table, const uint8_t mac[6], uint16_t vlan, uint16_t port, uint32_t now_s)
{
	uint64_t key = mac_key(mac, vlan);
	struct mac_bucket *bucket = mac_bucket(table, key);
	struct mac_entry *victim = &bucket->entry[0];

	for (unsigned i = 0; i < BUCKET_ENTRIES; i++) {
		struct mac_entry *entry = &bucket->entry[i];

		if (entry->key == key) {
			victim = entry;
			break;
		}
		if (!entry->key || (victim->key && now_s - entry->seen_s > now_s - victim->seen_s))
			victim = entry;
	}
	*victim = (struct mac_entry){.key = key, .seen_s = now_s, .port = port};
}

int mac_table_find(
	const struct mac_table *table, const uint8_t mac[6], uint16_t vlan, uint32_t now_s)
{
	uint64_t key = mac_key(mac, vlan);
	const struct mac_bucket *bucket = mac_bucket(table, key);

	for (unsigned i = 0; i < BUCKET_ENTRIES; i++) {
		const struct mac_entry *entry = &bucket->entry[i];

		if (entry->key == key)
			return entry_live(table, entry, now_s) ? entry->port : -ENOENT;
	}
	return -ENOENT;
}

static void entry_print(const struct mac_entry *entry, uint32_t now_s, FILE *file)
{
	for (int shift = 56; shift >= 16; shift -= 8)
		fprintf(file, "%02x%s", (unsigned)(entry->key >> shift & 0xff),
			shift > 16 ? ":" : "");
	fprintf(file, " vlan %u port %u seen %" PRIu32 " s ago\n", (unsigned)(entry->key & 0xffff),
		entry->port, now_s - entry->seen_s);
}

void mac_table_print(const struct mac_table *table, uint32_t now_s, FILE *file)
{
	for (uint32_t i = 0; i <= table->mask; i++) {
		for (unsigned j = 0; j < BUCKET_ENTRIES; j++) {
			const struct mac_entry *entry = &table->buckets[i].entry[j];

			if (entry_live(table, entry, now_s))
				entry_print(entry, now_s, file);
		}
	}
}

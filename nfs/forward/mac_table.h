/*
 * Which port a station was last seen behind: MAC address and VLAN to port, with ageing (IEEE
 * 802.1Q 8.8, independent learning per VLAN). Used by the bridge.
 *
 * Memory is fixed. An address hashes to a bucket of four entries (one cache line); when all four
 * are taken, the one unseen for the longest makes room. A flood of false addresses therefore costs
 * other stations their entry, which floods their packets, but never memory or time.
 *
 * Thread-safety: none; the caller locks.
 */
#ifndef NFS_FORWARD_MAC_TABLE_H
#define NFS_FORWARD_MAC_TABLE_H

#include <stdint.h>
#include <stdio.h>

struct mac_table;

/* Room for at least n_entries; entries unseen for age_s seconds are void. -ENOMEM. */
int mac_table_create(uint32_t n_entries, uint32_t age_s, struct mac_table **table);
void mac_table_destroy(struct mac_table *table);

void mac_table_learn(struct mac_table *table, const uint8_t mac[6], uint16_t vlan, uint16_t port,
	uint32_t now_s);

/* The port number, or -ENOENT. */
int mac_table_find(
	const struct mac_table *table, const uint8_t mac[6], uint16_t vlan, uint32_t now_s);

/* One line per live entry: address, VLAN, port number, seconds since seen. */
void mac_table_print(const struct mac_table *table, uint32_t now_s, FILE *file);

#endif

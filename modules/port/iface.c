/* Interfaces of the kernel, through ioctl() and /proc/net. See iface.h. */
#include "modules/port/iface.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

int iface_check_name(const char *name, struct error *error)
{
	size_t length = strlen(name);

	if (length > 0 && length < IFNAMSIZ && !strpbrk(name, "/:% \t") && strcmp(name, ".") &&
		strcmp(name, ".."))
		return 0;
	return error_set(error, EINVAL, "spec", "1 to 15 characters without blanks, '/', ':', '%'",
		"'%s' cannot be the name of an interface", name);
}

/* ---- namespaces ------------------------------------------------------------------------------ */

static int open_netns(struct iface *iface, const char *netns, struct error *error)
{
	char path[300];

	if (!netns || !*netns)
		return 0;
	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	iface->netns_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (iface->netns_fd < 0 || strchr(netns, '/'))
		return error_set(error, ENOENT, "spec", "ip netns list shows those that exist",
			"there is no network namespace '%s'", netns);
	return 0;
}

int iface_enter(struct iface *iface, struct error *error)
{
	if (iface->netns_fd < 0)
		return 0;
	iface->home_fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (iface->home_fd >= 0 && setns(iface->netns_fd, CLONE_NEWNET) == 0)
		return 0;
	if (iface->home_fd >= 0)
		close(iface->home_fd);
	iface->home_fd = -1;
	return error_set(error, errno, "spec", "entering a namespace needs CAP_SYS_ADMIN",
		"cannot enter the network namespace: %s", strerror(errno));
}

void iface_leave(struct iface *iface)
{
	if (iface->home_fd < 0)
		return;
	/* With the thread in the wrong namespace nothing that follows could be trusted. */
	if (setns(iface->home_fd, CLONE_NEWNET) != 0)
		abort();
	close(iface->home_fd);
	iface->home_fd = -1;
}

/* ---- finding --------------------------------------------------------------------------------- */

/* The hint: which interfaces there are. Called inside the namespace. */
static void list_names(char *text, size_t size)
{
	struct if_nameindex *all = if_nameindex();
	size_t used = (size_t)snprintf(text, size, "existing:");

	for (unsigned i = 0; all && all[i].if_index && used + IFNAMSIZ + 2 < size; i++)
		used += (size_t)snprintf(
			text + used, size - used, "%s %s", i ? "," : "", all[i].if_name);
	if_freenameindex(all);
}

static int find_inside(struct iface *iface, const char *name, struct error *error)
{
	char hint[ERROR_HINT_BYTES];

	/* A socket of any family takes requests about interfaces; the daemon needs no IP. */
	iface->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (iface->fd < 0)
		return error_set(
			error, errno, "spec", "", "cannot open a socket: %s", strerror(errno));
	iface->index = (int)if_nametoindex(name);
	if (iface->index > 0)
		return 0;
	list_names(hint, sizeof(hint));
	return error_set(error, ENODEV, "spec", hint, "there is no interface '%s'", name);
}

int iface_find(struct iface *iface, const char *name, struct error *error)
{
	int err = iface_check_name(name, error);

	if (!err)
		err = iface_enter(iface, error);
	if (err)
		return err;
	err = find_inside(iface, name, error);
	iface_leave(iface);
	return err;
}

int iface_open(struct iface *iface, const char *name, const char *netns, struct error *error)
{
	int err;

	*iface = IFACE_NONE;
	err = open_netns(iface, netns, error);
	if (!err && name)
		err = iface_find(iface, name, error);
	if (err)
		iface_close(iface);
	return err;
}

void iface_close(struct iface *iface)
{
	if (iface->fd >= 0)
		close(iface->fd);
	if (iface->netns_fd >= 0)
		close(iface->netns_fd);
	*iface = IFACE_NONE;
}

/* ---- may it be taken? ------------------------------------------------------------------------ */

static bool address_text(const struct ifaddrs *entry, char *text, size_t size)
{
	const struct sockaddr *address = entry->ifa_addr;

	if (address && address->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)address;

		return inet_ntop(AF_INET, &in->sin_addr, text, (socklen_t)size) != NULL;
	}
	if (address && address->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)address;

		return !IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr) &&
		       inet_ntop(AF_INET6, &in6->sin6_addr, text, (socklen_t)size) != NULL;
	}
	return false;
}

static bool has_address(const char *name, char *text, size_t size)
{
	struct ifaddrs *all, *entry;
	bool found = false;

	if (getifaddrs(&all) != 0)
		return false;
	for (entry = all; entry && !found; entry = entry->ifa_next)
		found = strcmp(entry->ifa_name, name) == 0 && address_text(entry, text, size);
	freeifaddrs(all);
	return found;
}

/* Interface of a line that says 0.0.0.0/0 or ::/0; the files are described in proc(5). */
static bool default_ipv4(const char *line, char name[IFNAMSIZ])
{
	unsigned destination, mask;

	return sscanf(line, "%15s %8x %*s %*s %*s %*s %*s %8x", name, &destination, &mask) == 3 &&
	       destination == 0 && mask == 0;
}

static bool default_ipv6(const char *line, char name[IFNAMSIZ])
{
	return sscanf(line, "00000000000000000000000000000000 00 %*s %*s %*s %*s %*s %*s %*s %15s",
		       name) == 1;
}

static bool has_route(
	const char *path, bool (*is_default)(const char *line, char *name), const char *name)
{
	char line[256], route_name[IFNAMSIZ];
	FILE *file = fopen(path, "re");
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file))
		found = is_default(line, route_name) && strcmp(route_name, name) == 0;
	if (file)
		fclose(file);
	return found;
}

static bool has_default_route(const char *name)
{
	return has_route("/proc/thread-self/net/route", default_ipv4, name) ||
	       has_route("/proc/thread-self/net/ipv6_route", default_ipv6, name);
}

int iface_check_free(struct iface *iface, struct error *error)
{
	const char *hint = "use another interface, or force to take it although the host uses it";
	char name[IFNAMSIZ], address[INET6_ADDRSTRLEN];
	int err = iface_enter(iface, error);

	if (err)
		return err;
	if (!if_indextoname((unsigned)iface->index, name))
		err = error_set(error, ENODEV, "spec", "", "the interface is gone");
	else if (has_address(name, address, sizeof(address)))
		err = error_set(error, EBUSY, "spec", hint, "interface %s carries the address %s",
			name, address);
	else if (has_default_route(name))
		err = error_set(
			error, EBUSY, "spec", hint, "interface %s carries the default route", name);
	iface_leave(iface);
	return err;
}

int iface_check_mtu(
	const struct buffer_pool *pool, uint32_t room_bytes, uint32_t mtu, struct error *error)
{
	char hint[128];
	uint32_t frame = mtu + IFACE_FRAME_EXTRA;

	if (frame <= room_bytes)
		return 0;
	snprintf(hint, sizeof(hint),
		"set buffer_bytes of group %s to %u or more, or mtu to %u or less", pool->name,
		frame + pool->stride - NETVM_META_BYTES - room_bytes,
		room_bytes - IFACE_FRAME_EXTRA);
	return error_set(error, EINVAL, "mtu", hint,
		"mtu %u makes frames of %u bytes, but the buffers of group %s have room for %u",
		mtu, frame, pool->name, room_bytes);
}

/* ---- state ----------------------------------------------------------------------------------- */

/* One ioctl on the interface under its present name. 0 or -errno. */
static int control(const struct iface *iface, unsigned long request, struct ifreq *ifr)
{
	struct ifreq now = {.ifr_ifindex = iface->index};

	if (iface->fd < 0)
		return -ENODEV;
	if (ioctl(iface->fd, SIOCGIFNAME, &now) != 0)
		return -errno;
	memcpy(ifr->ifr_name, now.ifr_name, IFNAMSIZ);
	return ioctl(iface->fd, request, ifr) == 0 ? 0 : -errno;
}

static int ethtool(const struct iface *iface, void *command)
{
	struct ifreq ifr = {.ifr_data = command};

	return control(iface, SIOCETHTOOL, &ifr);
}

static uint32_t speed_mbps(const struct iface *iface)
{
	struct ethtool_cmd command = {.cmd = ETHTOOL_GSET};
	uint32_t speed;

	if (ethtool(iface, &command) != 0)
		return 0;
	speed = ethtool_cmd_speed(&command);
	return speed == (uint32_t)SPEED_UNKNOWN ? 0 : speed;
}

int iface_mtu(const struct iface *iface)
{
	struct ifreq ifr = {0};
	int err = control(iface, SIOCGIFMTU, &ifr);

	return err ? err : ifr.ifr_mtu;
}

/* The carrier, at once; IFF_RUNNING, for devices without it, follows up to a second later. */
static bool has_carrier(const struct iface *iface, short flags)
{
	struct ethtool_value value = {.cmd = ETHTOOL_GLINK};

	return ethtool(iface, &value) == 0 ? value.data != 0 : (flags & IFF_RUNNING) != 0;
}

void iface_info(const struct iface *iface, struct port_info *info)
{
	struct ifreq ifr = {0};
	int mtu = iface_mtu(iface);

	info->mtu = mtu < 0 ? 0 : (uint32_t)mtu;
	info->speed_mbps = speed_mbps(iface);
	if (control(iface, SIOCGIFFLAGS, &ifr) == 0) {
		info->link_up = (ifr.ifr_flags & IFF_UP) && has_carrier(iface, ifr.ifr_flags);
		info->promiscuous = (ifr.ifr_flags & IFF_PROMISC) != 0;
	}
	if (control(iface, SIOCGIFHWADDR, &ifr) == 0)
		memcpy(info->mac, ifr.ifr_hwaddr.sa_data, sizeof(info->mac));
}

static int failed(int err, const char *what, const char *path, struct error *error)
{
	if (err == 0)
		return 0;
	return error_set(
		error, -err, path, "", "cannot set %s of the interface: %s", what, strerror(-err));
}

int iface_set_mtu(const struct iface *iface, uint32_t mtu, struct error *error)
{
	struct ifreq ifr = {.ifr_mtu = (int)mtu};

	return failed(control(iface, SIOCSIFMTU, &ifr), "the MTU", "mtu", error);
}

int iface_set_up(const struct iface *iface, bool up, struct error *error)
{
	struct ifreq ifr = {0};
	int err = control(iface, SIOCGIFFLAGS, &ifr);

	if (!err && up != ((ifr.ifr_flags & IFF_UP) != 0)) {
		ifr.ifr_flags ^= IFF_UP;
		err = control(iface, SIOCSIFFLAGS, &ifr);
	}
	return failed(err, "the state", "up", error);
}

int iface_set_mac(const struct iface *iface, const uint8_t mac[6], struct error *error)
{
	struct ifreq ifr = {.ifr_hwaddr.sa_family = ARPHRD_ETHER};

	memcpy(ifr.ifr_hwaddr.sa_data, mac, 6);
	return failed(control(iface, SIOCSIFHWADDR, &ifr), "the address", "spec", error);
}

bool iface_strips_tags(const struct iface *iface)
{
	struct ethtool_value flags = {.cmd = ETHTOOL_GFLAGS};

	return ethtool(iface, &flags) == 0 && (flags.data & ETH_FLAG_RXVLAN);
}

int iface_set_strip_tags(const struct iface *iface, bool on)
{
	struct ethtool_value flags = {.cmd = ETHTOOL_GFLAGS};
	int err = ethtool(iface, &flags);
	bool before = (flags.data & ETH_FLAG_RXVLAN) != 0;

	if (err || before == on)
		return err ? err : before;
	flags.cmd = ETHTOOL_SFLAGS;
	flags.data ^= ETH_FLAG_RXVLAN;
	err = ethtool(iface, &flags);
	return err ? err : before;
}

void iface_driver(const struct iface *iface, char name[32])
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};

	name[0] = '\0';
	if (ethtool(iface, &info) == 0)
		snprintf(name, 32, "%.31s", info.driver);
}

unsigned iface_rx_queues(const struct iface *iface)
{
	struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};

	if (ethtool(iface, &channels) != 0)
		return 1;
	return channels.rx_count + channels.combined_count ?: 1;
}

uint64_t iface_tx_dropped(struct iface *iface)
{
	struct ifreq now = {.ifr_ifindex = iface->index};
	unsigned long long dropped = 0;
	char line[512];
	FILE *file;

	if (ioctl(iface->fd, SIOCGIFNAME, &now) != 0 || iface_enter(iface, NULL) != 0)
		return 0;
	file = fopen("/proc/thread-self/net/dev", "re");
	while (file && fgets(line, sizeof(line), file)) {
		char *colon = strchr(line, ':');

		if (!colon)
			continue;
		*colon = '\0';
		/* 8 fields of reception, then bytes, packets, errs, drop of transmission. */
		if (strcmp(line + strspn(line, " "), now.ifr_name) == 0)
			sscanf(colon + 1, "%*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
				&dropped);
	}
	if (file)
		fclose(file);
	iface_leave(iface);
	return dropped;
}

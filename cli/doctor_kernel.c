/* Checks of the kernel: devices, drivers and features that ports, NFs and guests stand on. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli/doctor.h"

/* Open a device for reading and writing, and close it. 0 or -errno. */
static int try_device(const struct host *host, const char *path)
{
	char full[PATH_MAX];
	int fd;

	snprintf(full, sizeof(full), "%s%s", host->root, path);
	fd = open(full, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static void check_kvm(const struct host *host, struct finding *finding)
{
	int error = try_device(host, "/dev/kvm");

	if (error == 0)
		finding_set(finding, LEVEL_OK, NULL, "/dev/kvm can be used");
	else if (error == -EACCES || error == -EPERM)
		finding_set(finding, LEVEL_WARN, "usermod -aG kvm USER, then log in again",
			"/dev/kvm: no permission; guests are emulated, slowly");
	else
		finding_set(finding, LEVEL_WARN,
			"modprobe kvm_intel or kvm_amd; in a virtual machine, nested "
			"virtualization",
			"no /dev/kvm; guests are emulated, slowly");
}

static void check_tap(const struct host *host, struct finding *finding)
{
	int error = try_device(host, "/dev/net/tun");

	if (error == 0)
		finding_set(finding, LEVEL_OK, NULL, "/dev/net/tun can be used");
	else if (error == -EACCES || error == -EPERM)
		finding_set(finding, LEVEL_WARN, "run this as root, as netvmd does",
			"/dev/net/tun: no permission; no tap: ports");
	else
		finding_set(finding, LEVEL_WARN, "modprobe tun", "no /dev/net/tun; no tap: ports");
}

static void check_af_xdp(const struct host *host, struct finding *finding)
{
	int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);

	(void)host;
	if (fd >= 0) {
		close(fd);
		finding_set(finding, LEVEL_OK, NULL, "AF_XDP sockets can be made");
	} else if (errno == EPERM || errno == EACCES) {
		finding_set(finding, LEVEL_WARN, "run this as root, as netvmd does",
			"no permission for AF_XDP sockets");
	} else {
		finding_set(finding, LEVEL_WARN, "a kernel with CONFIG_XDP_SOCKETS",
			"no AF_XDP (%s); use af_packet: ports", strerror(errno));
	}
}

/* Drivers that hand a whole NIC to a process, as dpdk: ports want. */
static void check_drivers(const struct host *host, struct finding *finding)
{
	unsigned vfio = host_count(host, "/sys/bus/pci/drivers/vfio-pci/[0-9a-f]*:*");
	unsigned uio = host_count(host, "/sys/bus/pci/drivers/*uio*/[0-9a-f]*:*");
	unsigned iommu = host_count(host, "/sys/kernel/iommu_groups/[0-9]*");

	if (vfio && !iommu)
		finding_set(finding, LEVEL_WARN, "kernel parameter intel_iommu=on or amd_iommu=on",
			"%u devices with vfio-pci, but no IOMMU guards memory from them", vfio);
	else if (vfio)
		finding_set(finding, LEVEL_OK, NULL, "%u devices with vfio-pci", vfio);
	else if (uio)
		finding_set(finding, LEVEL_WARN, "dpdk-devbind.py --bind=vfio-pci ADDRESS",
			"%u devices with a uio driver, which guards nothing", uio);
	else
		finding_set(finding, LEVEL_WARN,
			"modprobe vfio-pci; dpdk-devbind.py --bind=vfio-pci ADDRESS",
			"no device with vfio-pci: no dpdk: port of a NIC; af_xdp: works without");
}

/* Without seals a hostile NF could truncate memory under the daemon. */
static void check_sealing(const struct host *host, struct finding *finding)
{
	int fd = memfd_create("netvm-doctor", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	(void)host;
	if (fd >= 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		finding_set(finding, LEVEL_OK, NULL, "memory can be shared and sealed");
	else
		finding_set(finding, LEVEL_FAIL, "Linux 3.17 or later, with CONFIG_MEMFD_CREATE",
			"no sealed memfd: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
}

static void check_pidfd(const struct host *host, struct finding *finding)
{
	int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

	(void)host;
	if (fd >= 0)
		finding_set(finding, LEVEL_OK, NULL, "the end of an NF is seen at once");
	else
		finding_set(
			finding, LEVEL_FAIL, "Linux 5.3 or later", "no pidfd: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
}

static void check_cgroup(const struct host *host, struct finding *finding)
{
	char controllers[256];

	if (host_read(host, "/sys/fs/cgroup/cgroup.controllers", controllers, sizeof(controllers)))
		finding_set(finding, LEVEL_WARN,
			"kernel parameter systemd.unified_cgroup_hierarchy=1",
			"no cgroup v2: NFs run without a cgroup of their own");
	else
		finding_set(finding, LEVEL_OK, NULL, "cgroup v2 (%s)", controllers);
}

const struct check checks_kernel[] = {
	{"KVM", check_kvm},
	{"TAP", check_tap},
	{"AF_XDP", check_af_xdp},
	{"NIC drivers", check_drivers},
	{"sealed memory", check_sealing},
	{"pidfd", check_pidfd},
	{"cgroup v2", check_cgroup},
	{},
};

/* Words for QEMU. See qemu.h. */
#include "modules/guest/qemu.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include "common/clock.h"

#define KERNEL_LINE_MAX  2047 /* COMMAND_LINE_SIZE of x86, without the NUL */
#define KERNEL_WORDS_MAX 32u  /* CONFIG_INIT_ENV_ARG_LIMIT */

/* ---- texts ----------------------------------------------------------------------------------- */

static void add(json_t *list, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(json_t *list, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	json_array_append_new(list, json_vsprintf(format, args));
	va_end(args);
}

static void add_option(json_t *list, const char *option, const char *value)
{
	add(list, "%s", option);
	add(list, "%s", value);
}

/* `text` with some characters written as `with` says. The caller frees. */
static char *escape(const char *text, const char *(*with)(char))
{
	size_t size = 1;
	char *made, *out;

	for (const char *at = text; *at; at++)
		size += with(*at) ? strlen(with(*at)) : 1;
	made = out = malloc(size);
	for (const char *at = text; made && *at; at++) {
		if (with(*at))
			out = stpcpy(out, with(*at));
		else
			*out++ = *at;
	}
	if (made)
		*out = '\0';
	return made;
}

/* In QEMU's values a comma is written twice. */
static const char *comma(char c)
{
	return c == ',' ? ",," : NULL;
}

static const char *entity(char c)
{
	return c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '\'' ? "&apos;" : NULL;
}

/* "-option", "before" + value + "after" */
static void add_value(
	json_t *list, const char *option, const char *before, const char *value, const char *after)
{
	char *escaped = escape(value, comma);

	add(list, "%s", option);
	add(list, "%s%s%s", before, escaped ? escaped : "", after);
	free(escaped);
}

/* ---- the kernel's command line --------------------------------------------------------------- */

/*
 * The clock's rate saves the guest half a second of finding out. 2 ms against a clock of
 * nanoseconds make it right to some 50 parts per million.
 */
static unsigned tsc_khz(void)
{
	static unsigned khz;
#if defined(__x86_64__)
	uint64_t start_ns, ticks, ns = 0;

	if (khz)
		return khz;
	start_ns = clock_ns(CLOCK_MONOTONIC);
	ticks = __rdtsc();
	while (ns < 2000000)
		ns = clock_ns(CLOCK_MONOTONIC) - start_ns;
	khz = (unsigned)((__rdtsc() - ticks) * 1000000u / ns);
#endif
	return khz;
}

int qemu_check_command(char *const *argv, struct error *error)
{
	unsigned n = 0;

	for (; argv[n]; n++)
		if (strpbrk(argv[n], "\"\n") || !argv[n][0])
			return error_set(error, EINVAL, "",
				"it is handed over on the kernel's command line; let the image's "
				"init "
				"add what cannot stand there",
				"a guest's command can hold neither empty words nor the "
				"character \"");
	if (n < KERNEL_WORDS_MAX)
		return 0;
	return error_set(error, E2BIG, "", "at most 31 words; let the image's init add the rest",
		"%u words are too many for a kernel's command line", n);
}

/* The first line of an image's file `cmdline`; empty when there is none. */
static void image_line(const char *folder, char *line, size_t size)
{
	char path[PATH_MAX];
	FILE *file;

	line[0] = '\0';
	snprintf(path, sizeof(path), "%s/cmdline", folder);
	file = fopen(path, "re");
	if (!file)
		return;
	if (!fgets(line, (int)size, file))
		line[0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	fclose(file);
}

/* The kernel knows double quotes only; qemu_check_command() sees to it that they suffice. */
static void write_words(FILE *out, char *const *words)
{
	for (; words && *words; words++)
		fprintf(out, strpbrk(*words, " \t") ? " \"%s\"" : " %s", *words);
}

/*
 * NAME=value words become init's environment, words behind -- its arguments: an NF finds what a
 * process finds.
 */
static int add_kernel_line(json_t *list, const struct qemu_guest *guest, struct error *error)
{
	char image[KERNEL_LINE_MAX + 1], line[2 * KERNEL_LINE_MAX] = "";
	FILE *out = fmemopen(line, sizeof(line), "w");

	if (!out)
		return error_set(error, errno, "", "", "no memory for a command line");
	image_line(guest->boot, image, sizeof(image));
	fputs(image, out);
	if (tsc_khz())
		fprintf(out, " tsc_early_khz=%u tsc=reliable", tsc_khz());
	if (guest->waits) {
		fputs(" NETVM_AGENT=" QEMU_AGENT, out);
	} else {
		fprintf(out, " NETVM_NAME=%s NETVM_SERVICE=%s", guest->name, guest->service);
		fputs(guest->command ? " --" : "", out);
		write_words(out, guest->command);
	}
	fclose(out);
	if (strlen(line) > KERNEL_LINE_MAX)
		return error_set(error, E2BIG, "", "shorten its cmdline, or the NF's command",
			"the kernel's command line has more than %d bytes", KERNEL_LINE_MAX);
	add_option(list, "-append", line);
	return 0;
}

/* ---- QEMU ------------------------------------------------------------------------------------ */

/* Nothing an NF has no use for: each device costs the guest's kernel time to find it. */
#define MACHINE "q35,memory-backend=ram,hpet=off,smbus=off,sata=off,vmport=off,smm=off"

static void add_machine(json_t *list, const struct qemu_guest *guest)
{
	add_option(list, "-machine", MACHINE);
	if (strcmp(guest->accel, "tcg") != 0)
		add_option(list, "-accel", "kvm");
	if (strcmp(guest->accel, "kvm") != 0)
		add_option(list, "-accel", "tcg");
	add_option(list, "-cpu", "max");
	/* With one possible CPU TCG would make the guest's atomic operations plain ones. */
	add(list, "-smp");
	add(list, "%u,maxcpus=%u", guest->vcpus, guest->vcpus > 1 ? guest->vcpus : 2);
	add(list, "-m");
	add(list, "%u", guest->memory_mb);
	add(list, "-object");
	add(list, "memory-backend-memfd,id=ram,share=off,size=%uM", guest->memory_mb);
}

static int add_image(json_t *list, const struct qemu_guest *guest, struct error *error)
{
	static const char *const parts[][2] = {{"-kernel", "vmlinux"}, {"-initrd", "initramfs"}};
	char path[PATH_MAX];

	for (unsigned i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", guest->boot, parts[i][1]);
		if (access(path, F_OK))
			return error_set(error, errno, "",
				"a folder made by `netvm image build`: vmlinux, initramfs, cmdline",
				"%s: %s", path, strerror(errno));
		add_option(list, parts[i][0], path);
	}
	return add_kernel_line(list, guest, error);
}

/* What it writes is gone with it: each incarnation begins with the same disk. */
static int add_disk(json_t *list, const struct qemu_guest *guest, struct error *error)
{
	const char *dot = strrchr(guest->boot, '.');

	if (guest->command)
		return error_set(error, EINVAL, "",
			"leave command out, and let the disk's system start the NF",
			"a guest that boots from a disk is not told what to run");
	add_value(list, "-drive", "if=virtio,snapshot=on,file=", guest->boot,
		dot && strcmp(dot, ".qcow2") == 0 ? ",format=qcow2" : ",format=raw");
	return 0;
}

static int add_boot(json_t *list, const struct qemu_guest *guest, struct error *error)
{
	struct stat st;

	if (guest->boot[0] != '/')
		return error_set(error, EINVAL, "", "an absolute path", "%s is a relative path",
			guest->boot);
	if (stat(guest->boot, &st))
		return error_set(error, errno, "",
			"a folder made by `netvm image build`, or a disk (*.qcow2 or raw)",
			"%s: %s", guest->boot, strerror(errno));
	return S_ISDIR(st.st_mode) ? add_image(list, guest, error) : add_disk(list, guest, error);
}

static void add_socket(json_t *list, const char *id, const char *path)
{
	char before[48];

	snprintf(before, sizeof(before), "socket,id=%s,path=", id);
	add_value(list, "-chardev", before, path, "");
}

/* By the device's rules port 0 is a console's. */
static void add_ports(json_t *list, const struct qemu_guest *guest)
{
	char id[32];

	add(list, "-device");
	add(list, "virtio-serial-pci,id=netvm-serial,max_ports=%u", guest->n_ports + 1);
	for (unsigned i = 0; i < guest->n_ports; i++) {
		snprintf(id, sizeof(id), QEMU_PORT, i);
		add_socket(list, id, guest->port[i].socket);
		add(list, "-device");
		add(list, "virtserialport,bus=netvm-serial.0,nr=%u,chardev=%s,name=%s", i + 1, id,
			guest->port[i].name);
	}
}

/* `place`: "" or ",bus=" and what they are plugged into. */
static void add_devices(json_t *list, const struct qemu_guest *guest, const char *channel_place,
	const char *group_place)
{
	add_socket(list, QEMU_CHANNEL, guest->channel_socket);
	add(list, "-device");
	add(list, "ivshmem-doorbell,id=" QEMU_CHANNEL ",chardev=" QEMU_CHANNEL ",vectors=%u%s",
		guest->n_vectors, channel_place);
	add_socket(list, QEMU_GROUP, guest->group_socket);
	add(list, "-device");
	add(list, "ivshmem-doorbell,id=" QEMU_GROUP ",chardev=" QEMU_GROUP ",vectors=1%s",
		group_place);
	add_ports(list, guest);
}

/*
 * A port hands on no more addresses than the firmware gave it, and QEMU does not say when they are
 * too few. Twice the largest memory, for a memory must lie at a multiple of its size.
 */
static void add_slots(json_t *list)
{
	add_option(list, "-device",
		"pcie-root-port,id=" QEMU_CHANNEL_SLOT ",chassis=1,pref64-reserve=1G");
	add_option(list, "-device",
		"pcie-root-port,id=" QEMU_GROUP_SLOT ",chassis=2,pref64-reserve=8G");
}

json_t *qemu_slots(void)
{
	json_t *list = json_array();

	add_slots(list);
	return list;
}

/* Where the next daemon can take them out and plug in its own; or the first one, when the guest is
 * told what to run: only the ports are there at once. */
static void add_slotted(json_t *list, const struct qemu_guest *guest)
{
	add_slots(list);
	if (guest->waits)
		add_ports(list, guest);
	else
		add_devices(list, guest, ",bus=" QEMU_CHANNEL_SLOT, ",bus=" QEMU_GROUP_SLOT);
	if (guest->loads)
		add_option(list, "-incoming", "defer");
}

json_t *qemu_devices(const struct qemu_guest *guest)
{
	json_t *list = json_array();

	add_devices(list, guest, "", "");
	return list;
}

/* Nothing but what is named here; `stdio` is the NF's log. */
static void add_frame(json_t *list, const struct qemu_guest *guest)
{
	add(list, "%s", guest->program);
	add_value(list, "-name", "guest=", guest->name, "");
	add(list, "-nodefaults");
	add(list, "-no-user-config");
	add(list, "-no-reboot");
	add_option(list, "-display", "none");
	add_option(list, "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny");
	add_option(list, "-chardev", "stdio,id=console,signal=off");
	add_option(list, "-serial", "chardev:console");
	add(list, "-chardev");
	add(list, "socket,id=qmp,fd=%d,server=on,wait=off", QEMU_MONITOR_FD);
	add_option(list, "-mon", "chardev=qmp,mode=control");
}

int qemu_arguments(const struct qemu_guest *guest, json_t **list, struct error *error)
{
	int rc;

	*list = json_array();
	add_frame(*list, guest);
	add_machine(*list, guest);
	add_slotted(*list, guest);
	rc = add_boot(*list, guest, error);
	if (rc)
		json_decref(*list);
	return rc;
}

/* ---- libvirt --------------------------------------------------------------------------------- */

/* One text and the next; takes over both. */
static json_t *append(json_t *text, json_t *more)
{
	json_t *both = json_sprintf("%s%s", json_string_value(text), json_string_value(more));

	json_decref(text);
	json_decref(more);
	return both;
}

static json_t *shmem(const char *name, const char *socket, unsigned n_vectors)
{
	char *escaped = escape(socket, entity);
	json_t *text = json_sprintf("<shmem name='%s'>\n"
				    "  <model type='ivshmem-doorbell'/>\n"
				    "  <server path='%s'/>\n"
				    "  <msi vectors='%u' ioeventfd='on'/>\n"
				    "</shmem>\n",
		name, escaped ? escaped : "", n_vectors);

	free(escaped);
	return text;
}

static json_t *channel(const struct qemu_port *port)
{
	char *escaped = escape(port->socket, entity);
	json_t *text = json_sprintf("<channel type='unix'>\n"
				    "  <source mode='connect' path='%s'/>\n"
				    "  <target type='virtio' name='%s'/>\n"
				    "</channel>\n",
		escaped ? escaped : "", port->name);

	free(escaped);
	return text;
}

json_t *qemu_libvirt(const struct qemu_guest *guest)
{
	json_t *text = append(shmem("netvm-channel", guest->channel_socket, guest->n_vectors),
		shmem("netvm-group", guest->group_socket, 1));

	for (unsigned i = 0; i < guest->n_ports; i++)
		text = append(text, channel(&guest->port[i]));
	return text;
}

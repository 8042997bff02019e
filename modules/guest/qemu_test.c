/* The words for QEMU: what must be among them, how they are escaped, what is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "modules/guest/qemu.h"

static char folder[] = "/tmp/netvm-qemu-test.XXXXXX";

static struct qemu_guest guest(void)
{
	return (struct qemu_guest){.name = "fw",
		.service = "firewall",
		.program = "/usr/bin/qemu",
		.boot = folder,
		.accel = "auto",
		.memory_mb = 128,
		.vcpus = 1,
		.n_vectors = 3,
		.channel_socket = "/run/fw.channel",
		.group_socket = "/run/a,b/fw.group",
		.n_ports = 2,
		.port = {{"netvm.bell.0", "/run/a,b/fw.bell0"}, {"other", "/run/<other>"}}};
}

static void put(const char *name, const char *text)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int make_image(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	put("vmlinux", "");
	put("initramfs", "");
	put("cmdline", "quiet panic=-1\n");
	return 0;
}

static int remove_image(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", folder);
	return system(command);
}

/* The words with blanks between and around them. */
static const char *line_of(json_t *words)
{
	static char line[8192];
	json_t *word;
	size_t i;

	strcpy(line, " ");
	json_array_foreach (words, i, word)
		strcat(strcat(line, json_string_value(word)), " ");
	json_decref(words);
	return line;
}

static const char *arguments(const struct qemu_guest *of)
{
	struct error error = {0};
	json_t *words;

	if (qemu_arguments(of, &words, &error))
		fail_msg("%s", error.message);
	return line_of(words);
}

static void expect(const char *line, const char *part)
{
	if (!strstr(line, part))
		fail_msg("'%s' is not in %s", part, line);
}

static void test_image(void **state)
{
	char *command[] = {"netvm-firewall", "--rules", "/etc/my rules", NULL};
	struct qemu_guest fw = guest();
	const char *line;

	(void)state;
	fw.command = command;
	line = arguments(&fw);
	expect(line, " /usr/bin/qemu ");
	expect(line, "/vmlinux -initrd ");
	expect(line, " -append quiet panic=-1 ");
	expect(line, " NETVM_NAME=fw NETVM_SERVICE=firewall -- netvm-firewall --rules \"/etc/my "
		     "rules\" ");
	expect(line, "path=/run/fw.channel -device ivshmem-doorbell,id=netvm-channel,"
		     "chardev=netvm-channel,vectors=3,bus=netvm-slot0 ");
	expect(line, " -device pcie-root-port,id=netvm-slot0,");
	expect(line, " -chardev socket,id=qmp,fd=3,server=on,wait=off ");
	expect(line, "path=/run/a,,b/fw.group ");
	expect(line,
		"path=/run/a,,b/fw.bell0 -device "
		"virtserialport,bus=netvm-serial.0,nr=1,chardev=netvm-port0,name=netvm.bell.0 ");
	expect(line, ",nr=2,chardev=netvm-port1,name=other ");
	expect(line, " virtio-serial-pci,id=netvm-serial,max_ports=3 ");
	expect(line, " -accel kvm -accel tcg ");
	expect(line, " -smp 1,maxcpus=2 ");
}

static void test_a_guest_of_a_pool(void **state)
{
	struct qemu_guest fw = guest();
	const char *line;

	(void)state;
	fw.port[fw.n_ports++] = (struct qemu_port){QEMU_AGENT, "/run/fw.agent"};
	fw.waits = true;
	line = arguments(&fw);
	assert_null(strstr(line, "ivshmem"));
	assert_null(strstr(line, "NETVM_NAME"));
	assert_null(strstr(line, "-incoming"));
	expect(line, " -device pcie-root-port,id=netvm-slot0,");
	expect(line,
		" -chardev socket,id=netvm-port2,path=/run/fw.agent -device "
		"virtserialport,bus=netvm-serial.0,nr=3,chardev=netvm-port2,name=netvm.agent ");
	expect(line, " NETVM_AGENT=netvm.agent ");
	fw.loads = true;
	expect(arguments(&fw), " -incoming defer ");
	expect(line_of(qemu_slots()), "id=netvm-slot1,chassis=2,");
}

static void test_accelerators(void **state)
{
	struct qemu_guest fw = guest();

	(void)state;
	fw.accel = "tcg";
	assert_null(strstr(arguments(&fw), "-accel kvm"));
	fw.accel = "kvm";
	assert_null(strstr(arguments(&fw), "-accel tcg"));
	fw.vcpus = 4;
	expect(arguments(&fw), " -smp 4,maxcpus=4 ");
}

static void test_disk(void **state)
{
	char *command[] = {"netvm-firewall", NULL};
	struct qemu_guest fw = guest();
	char path[64];
	json_t *words;

	(void)state;
	put("disk.qcow2", "");
	snprintf(path, sizeof(path), "%s/disk.qcow2", folder);
	fw.boot = path;
	expect(arguments(&fw), "snapshot=on,file=/tmp/netvm-qemu-test.");
	expect(arguments(&fw), ",format=qcow2 ");
	fw.command = command;
	assert_int_equal(qemu_arguments(&fw, &words, NULL), -EINVAL);
}

static void test_no_image(void **state)
{
	struct qemu_guest fw = guest();
	struct error error = {0};
	json_t *words;

	(void)state;
	fw.boot = "/";
	assert_int_equal(qemu_arguments(&fw, &words, &error), -ENOENT);
	expect(error.message, "vmlinux");
	fw.boot = "/no/such/place";
	assert_int_equal(qemu_arguments(&fw, &words, &error), -ENOENT);
	fw.boot = "here";
	assert_int_equal(qemu_arguments(&fw, &words, &error), -EINVAL);
}

static void test_long_line(void **state)
{
	char word[2048];
	char *command[] = {word, NULL};
	struct qemu_guest fw = guest();
	json_t *words;

	(void)state;
	memset(word, 'x', sizeof(word));
	word[sizeof(word) - 1] = '\0';
	fw.command = command;
	assert_int_equal(qemu_arguments(&fw, &words, NULL), -E2BIG);
}

static void test_commands(void **state)
{
	char *good[] = {"netvm-firewall", "--rules", "/etc/fw", NULL};
	char *quote[] = {"a\"b", NULL};
	char *empty[] = {"a", "", NULL};
	char *many[33];

	(void)state;
	for (unsigned i = 0; i < 32; i++)
		many[i] = "x";
	many[32] = NULL;
	assert_int_equal(qemu_check_command(good, NULL), 0);
	assert_int_equal(qemu_check_command(quote, NULL), -EINVAL);
	assert_int_equal(qemu_check_command(empty, NULL), -EINVAL);
	assert_int_equal(qemu_check_command(many, NULL), -E2BIG);
	many[31] = NULL;
	assert_int_equal(qemu_check_command(many, NULL), 0);
}

static void test_libvirt(void **state)
{
	struct qemu_guest fw = guest();
	json_t *text;

	(void)state;
	fw.group_socket = "/run/<&'>";
	text = qemu_libvirt(&fw);
	expect(json_string_value(text), "<server path='/run/fw.channel'/>");
	expect(json_string_value(text), "<msi vectors='3' ioeventfd='on'/>");
	expect(json_string_value(text), "<server path='/run/&lt;&amp;&apos;>'/>");
	expect(json_string_value(text), "<source mode='connect' path='/run/a,b/fw.bell0'/>");
	expect(json_string_value(text), "<target type='virtio' name='netvm.bell.0'/>");
	expect(json_string_value(text), "path='/run/&lt;other>'/>");
	json_decref(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_image),
		cmocka_unit_test(test_a_guest_of_a_pool),
		cmocka_unit_test(test_accelerators),
		cmocka_unit_test(test_disk),
		cmocka_unit_test(test_no_image),
		cmocka_unit_test(test_long_line),
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_libvirt),
	};

	return cmocka_run_group_tests(tests, make_image, remove_image);
}

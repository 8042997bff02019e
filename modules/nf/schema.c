/* The section `nfs` of the document. Read by the manager's schema. */
#include "modules/nf/settings.h"

#include "manager/schema.h"
#include "modules/nf/nf.h"

static const char *const images[] = {"process", "external", "guest", "external-guest", NULL};
static const char *const accels[] = {"auto", "kvm", "tcg", NULL};
static const char *const restarts[] = {"always", "on-failure", "never", NULL};
static const struct field cpu = {"cpu", FIELD_INT, .min = 0, .max = CPU_SETSIZE - 1};

static const struct field guest_fields[] = {
	{"boot", FIELD_TEXT, .max = 1000, .required = true,
		.help = "Folder of an image (vmlinux, initramfs, cmdline), or a disk, raw or "
			"*.qcow2",
		.example = "/var/lib/netvm/images/forward"},
	{"memory_mb", FIELD_INT, .min = 32, .max = 1 << 20, .preset = "128", .unit = "MB",
		.help = "Its own memory; that of the group comes on top"},
	{"vcpus", FIELD_INT, .min = 1, .max = 64, .preset = "1", .help = "CPUs it sees"},
	{"accel", FIELD_ENUM, .values = accels, .preset = "\"auto\"",
		.help = "auto: KVM where a try shows that it works, else emulation (tcg)"},
	{"qemu", FIELD_TEXT, .max = 255, .preset = "\"qemu-system-x86_64\"",
		.help = "QEMU's program"},
	{},
};

static const struct field nf_fields[] = {
	{"service", FIELD_NAME, .preset_name = true, .effect = EFFECT_RECREATE,
		.help = "The role it plays in chains; several NFs may share one",
		.example = "firewall"},
	{"group", FIELD_REF, .ref = "groups", .preset = "\"default\"", .effect = EFFECT_RECREATE,
		.help = "Trust group: the NFs whose packets it may see, and they its"},
	{"image", FIELD_ENUM, .values = images, .preset = "\"process\"", .effect = EFFECT_RECREATE,
		.help = "process, guest (in a virtual machine): the daemon starts it; external, "
			"external-guest: somebody else does"},
	{"guest", FIELD_MAP, .fields = guest_fields, .effect = EFFECT_RECREATE,
		.help = "How a guest is started"},
	{"pool", FIELD_REF, .ref = "pools", .effect = EFFECT_RECREATE,
		.help = "Instead of guest: take one that is ready from this pool",
		.example = "small"},
	{"monitor", FIELD_TEXT, .max = 107, .effect = EFFECT_RECREATE,
		.help = "QMP socket of an external guest that runs: its devices are plugged in and "
			"out there",
		.example = "/run/vm/fw.qmp"},
	{"command", FIELD_TEXT, .max = 1000, .effect = EFFECT_RECREATE, .check = nf_check_command,
		.help = "Program and arguments, run without a shell; in a guest by its init",
		.example = "netvm-firewall --rules /etc/netvm/fw.rules"},
	{"user", FIELD_TEXT, .max = 64, .effect = EFFECT_RECREATE,
		.help = "Who it runs as (else nobody); external: who may attach besides root",
		.example = "nobody"},
	{"cpus", FIELD_LIST, .element = &cpu, .preset = "[]",
		.help = "CPUs a started NF runs on; empty: any", .example = "[1]"},
	{"restart", FIELD_ENUM, .values = restarts, .preset = "\"always\"",
		.help = "Whether it is started again when it ends"},
	{"hang_ms", FIELD_INT, .min = 0, .max = 3600000, .preset = "5000", .unit = "ms",
		.help = "Packets wait and nothing moves for so long: it counts as hung, is taken "
			"out "
			"and killed; longer than it may work on one burst, see netvm_alive(); 0: "
			"never"},
	{"standby", FIELD_BOOL, .preset = "false", .effect = EFFECT_RECREATE,
		.help = "Runs without packets until another NF of its service ends, and takes over "
			"its flows at once"},
	{"ring", FIELD_INT, .min = NETVM_RING_WORDS_MIN, .max = 65536, .preset = "2048",
		.unit = "packets", .effect = EFFECT_RECREATE, .check = nf_check_ring,
		.help = "Packets that may wait for it, per worker and queue; a power of two"},
	{"stock", FIELD_INT, .min = 0, .max = 16384, .preset = "512", .unit = "buffers",
		.effect = EFFECT_RECREATE, .check = nf_check_stock,
		.help = "Empty buffers it may own, per worker; a power of two, or 0"},
	{"queues", FIELD_INT, .min = 1, .max = NETVM_QUEUES_MAX, .preset = "1",
		.effect = EFFECT_RECREATE, .help = "Most queues (threads) it may ask for"},
	{},
};

/* What a guest of a pool boots, and in whose memory it is to work. */
static const struct field pool_fields[] = {
	{"group", FIELD_REF, .ref = "groups", .preset = "\"default\"", .effect = EFFECT_RECREATE,
		.help = "Trust group of the NFs that may take its guests"},
	{"idle", FIELD_INT, .min = 0, .max = 64, .preset = "1", .unit = "guests",
		.help = "Running guests that wait for an NF"},
	{"template", FIELD_BOOL, .preset = "true", .effect = EFFECT_RECREATE,
		.help = "Boot once and keep the result in memory: further guests are copies of it"},
	{"user", FIELD_TEXT, .max = 64, .preset = "\"" NF_USER_DEFAULT "\"",
		.effect = EFFECT_RECREATE, .help = "Who its QEMUs run as"},
	{"guest", FIELD_MAP, .fields = guest_fields, .required = true, .effect = EFFECT_RECREATE,
		.help = "How its guests are started"},
	{},
};

const struct section pool_section = {
	"pools", "pool", pool_fields, .help = "Guests that have booted and wait for an NF"};

const struct section nf_section = {
	"nfs", "nf", nf_fields, .help = "Network functions: what packets are led through"};

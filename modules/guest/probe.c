/* The guest that only speaks. See probe.h. */
#include "modules/guest/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROM_BYTES 65536u
#define RESET     0xfff0u /* where a processor begins, in the last 64 KB below 1 MB */
#define PORT      0xf4    /* isa-debug-exit: QEMU ends with status 2 * value + 1 */
#define VALUE     ((PROBE_STATUS - 1) / 2)

/* At f000:0000. Into protected mode, since it is a kernel's mode that must work, and count. */
static const unsigned char code[] = {
	0xfa,                                           /* 00 cli */
	0x2e, 0x66, 0x0f, 0x01, 0x16, 0x38, 0x00,       /* 01 lgdt cs:[0x38] */
	0x0f, 0x20, 0xc0,                               /* 08 mov eax, cr0 */
	0x0c, 0x01,                                     /* 0b or al, 1 */
	0x0f, 0x22, 0xc0,                               /* 0d mov cr0, eax */
	0x66, 0xea, 0x18, 0x00, 0x0f, 0x00, 0x08, 0x00, /* 10 jmp 8:0xf0018 */
	0xb9, 0x80, 0x96, 0x98, 0x00,                   /* 18 mov ecx, 10000000 */
	0x49,                                           /* 1d dec ecx */
	0x75, 0xfd,                                     /* 1e jnz 0x1d */
	0xb0, VALUE,                                    /* 20 mov al, VALUE */
	0xe6, PORT,                                     /* 22 out PORT, al */
	0xf4,                                           /* 24 hlt */
	0xeb, 0xfd,                                     /* 25 jmp 0x24 */
	0x90,                                           /* 27 */
	0, 0, 0, 0, 0, 0, 0, 0,                         /* 28 the GDT: nothing, */
	0xff, 0xff, 0, 0, 0, 0x9a, 0xcf, 0,             /* 30 code, 4 GB from 0 */
	0x0f, 0x00, 0x28, 0x00, 0x0f, 0x00,             /* 38 its limit and place */
};

static const unsigned char reset[] = {0xea, 0x00, 0x00, 0x00, 0xf0}; /* jmp f000:0000 */

int probe_write(const char *path)
{
	unsigned char rom[ROM_BYTES] = {0};
	int rc = 0;
	int fd;

	memcpy(rom, code, sizeof(code));
	memcpy(rom + RESET, reset, sizeof(reset));
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	if (fchmod(fd, 0644) || write(fd, rom, sizeof(rom)) != (ssize_t)sizeof(rom))
		rc = errno ? -errno : -EIO;
	close(fd);
	return rc;
}

json_t *probe_arguments(const char *program, const char *accel, const char *path)
{
	return json_pack("[s, s, s, ss, ss, ss, ss, ss, ss, ss, ss]", program, "-nodefaults",
		"-no-user-config", "-display", "none", "-machine", "q35", "-accel", accel, "-cpu",
		"max", "-m", "16", "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny",
		"-bios", path, "-device", "isa-debug-exit,iobase=0xf4,iosize=1");
}

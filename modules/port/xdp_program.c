/* The XDP program of af_xdp ports. See xdp_program.h. */
#include "modules/port/xdp_program.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

/* return bpf_redirect_map(&map, ctx->rx_queue_index, XDP_PASS); */
static int load(int map_fd)
{
	const struct bpf_insn code[] = {
		{BPF_LDX | BPF_W | BPF_MEM, BPF_REG_2, BPF_REG_1,
			offsetof(struct xdp_md, rx_queue_index), 0},
		{BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map_fd},
		{0},
		{BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_3, 0, 0, XDP_PASS},
		{BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect_map},
		{BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
	};

	return bpf_prog_load(BPF_PROG_TYPE_XDP, "netvm_xsk", "Dual BSD/GPL", code,
		sizeof(code) / sizeof(code[0]), NULL);
}

static int attach(struct xdp_program *program, int ifindex, uint32_t flags)
{
	LIBBPF_OPTS(bpf_link_create_opts, options, .flags = flags);

	program->native = flags == XDP_FLAGS_DRV_MODE;
	program->link_fd = bpf_link_create(program->program_fd, ifindex, BPF_XDP, &options);
	return program->link_fd < 0 ? -errno : 0;
}

static int load_and_attach(struct xdp_program *program, int ifindex, uint32_t n_queues)
{
	int err;

	program->map_fd = bpf_map_create(BPF_MAP_TYPE_XSKMAP, "netvm_xsk", sizeof(uint32_t),
		sizeof(uint32_t), n_queues, NULL);
	if (program->map_fd < 0)
		return -errno;
	program->program_fd = load(program->map_fd);
	if (program->program_fd < 0)
		return -errno;
	err = attach(program, ifindex, XDP_FLAGS_DRV_MODE);
	if (err && err != -EBUSY)
		err = attach(program, ifindex, XDP_FLAGS_SKB_MODE);
	return err;
}

int xdp_program_open(struct xdp_program *program, int ifindex, const char *name, uint32_t n_queues,
	struct error *error)
{
	int err = load_and_attach(program, ifindex, n_queues);

	if (!err)
		return 0;
	return error_set(error, -err, "spec",
		err == -EBUSY ? "another XDP program is there: ip link set dev IFACE xdp off"
			      : "XDP needs CAP_BPF and CAP_NET_ADMIN",
		"cannot attach an XDP program to %s: %s", name, strerror(-err));
}

int xdp_program_add(struct xdp_program *program, uint32_t queue, int socket_fd)
{
	return bpf_map_update_elem(program->map_fd, &queue, &socket_fd, 0) == 0 ? 0 : -errno;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* Closing the link takes the program off the interface. */
void xdp_program_close(struct xdp_program *program)
{
	close_fd(program->link_fd);
	close_fd(program->program_fd);
	close_fd(program->map_fd);
	*program = XDP_PROGRAM_NONE;
}

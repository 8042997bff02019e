/* All features of the daemon, each behind those it uses. See module.h. */
#include "manager/module.h"

#include "manager/engine_section.h"
#include "manager/handover.h"
#include "manager/role.h"
#include "modules/chain/chain.h"
#include "modules/group/group.h"
#include "modules/nf/nf.h"
#include "modules/port/control.h"
#include "modules/stats/stats.h"
#include "modules/trace/trace.h"

const struct module *const modules[] = {
	&engine_module,
	&role_module,
	&group_module,
	&handover_module,
	&port_module,
	&nf_module,
	&chain_module,
	&stats_module,
	&trace_module,
	NULL,
};

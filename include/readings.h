/* readings: what a leaf's files and the kernel log say of a run. */
#ifndef BIVY_READINGS_H
#define BIVY_READINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cgroup.h"

struct readings {
    bool have_peak, have_pids_peak, have_pids, have_throttled, have_cpu;
    uint64_t memory_peak; /* bytes */
    uint64_t oom_kills;
    uint64_t pids_peak, pids_denied;
    uint64_t cpu_user, cpu_system, throttled; /* ns */
    uint64_t throttled_periods;
};

/* Everything at once. 0, or -ENOENT without a leaf. What a kernel does not tell stays unknown (have_...). */
int readings_take(const struct cgroup *cgroup, struct readings *readings);

/* How many processes of this leaf the kernel has killed for memory. */
uint64_t readings_oom_kills(const struct cgroup *cgroup);

/* The name of the last one, from the kernel log: 1 found, 0 not (no right to read it, or rate-limited). */
int readings_oom_victim(const struct cgroup *cgroup, char *name, size_t size);

/* The number behind `key ` at the start of a line of a flat keyed file (cgroup-v2.rst). Pure. */
bool readings_keyed(const char *text, const char *key, uint64_t *out);

#endif

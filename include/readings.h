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
    uint64_t periods, throttled_periods; /* in which the leaf ran at all, and was held back */
};

/* What the memory charged to a leaf was, at one moment. */
struct usage {
    enum moment { MOMENT_NONE, MOMENT_END, MOMENT_SAMPLE, MOMENT_LIMIT } moment; /* later ones tell more */
    uint64_t total;   /* bytes, as are the rest, which are parts of it */
    uint64_t heap;    /* anonymous memory: heaps, stacks */
    uint64_t scratch; /* tmpfs and other shared memory */
    uint64_t cache;   /* pages of files, which the kernel takes back before it kills */
    uint64_t kernel;  /* page tables, inodes, pipes */
    uint64_t behind;  /* so much of that is not: the sums lag (mem_cgroup_flush_stats), or it changed between two files; 0: hardly anything */
    uint64_t major_faults; /* not bytes: pages of files read for a process that touched them, since the leaf was made (pgmajfault) */
};

/* Whose memory ran out when the kernel killed. */
enum oom_of { OOM_UNKNOWN, OOM_OF_LEAF, OOM_ABOVE, OOM_OF_HOST };

/* What the kernel log says of a kill for memory. */
struct oom_report {
    enum oom_of of;
    char name[32];      /* of who was killed; "" not known */
    uint64_t pid, bytes; /* his, and what he held in memory; 0: not known */
    struct usage usage; /* of the leaf just before */
    bool stats;         /* for the parser: the lines about our leaf's memory follow */
};

/* The most that was seen in one process, in all looks together. */
struct processes {
    uint64_t open_files; /* descriptors (proc_pid_fd(5), st_size since Linux 6.2); 0: it cannot be told */
    uint64_t bytes;      /* in memory, as proc_pid_statm(5) has it; 0: not looked at */
    char name[32];       /* of who held them: any byte but NUL */
};

/* Everything at once. 0, or -ENOENT without a leaf. What a kernel does not tell stays unknown (have_...). */
int readings_take(const struct cgroup *cgroup, struct readings *readings);

/* Is there one process left in it, which can only be pid 1? Then nothing that readings_take tells changes any more, but for what pid 1
 * takes to die. false also where it cannot be told. */
bool readings_last(const struct cgroup *cgroup);

/* How many processes of this leaf the kernel has killed for memory. */
uint64_t readings_oom_kills(const struct cgroup *cgroup);

/* What the kernel log tells of the last one; all zero where it tells nothing (no right to read it, or rate-limited). */
void readings_oom_victim(const struct cgroup *cgroup, struct oom_report *report);

/* What the leaf's memory is now. false where it cannot be told. */
bool readings_usage(const struct cgroup *cgroup, struct usage *usage);

/* Memory that is charged now, in bytes; 0 where it cannot be told. One small file. */
uint64_t readings_memory(const struct cgroup *cgroup);

/* Looks at each process of the leaf but pid 1 (except), and with memory also at what it holds; *most grows with it. Waits for no lock that a
 * process may hold for long. */
void readings_processes(const struct cgroup *cgroup, pid_t except, bool memory, struct processes *most);

/* --- Pure (readings_parse.c): what the texts of these files say. All texts are NUL-terminated. A number is believed
 * only where its line is digits to the end, ended, and it fits; only then is *out written. --- */

/* The number behind `key ` in a flat keyed file (cgroup-v2.rst). Of two lines of one key the first counts. */
bool readings_keyed(const char *text, const char *key, uint64_t *out);

/* The number that is all there is in a file. */
bool readings_single(const char *text, uint64_t *out);

/* Do the length bytes of text say exactly what was written, expected and a newline? */
bool readings_same(const char *text, size_t length, const char *expected);

/* Page cache in bytes, and how much of it is not written yet, of a cgroup and those below it, from the text of its memory.stat
 * (cgroup-v2.rst; cgroup-v1/memory.rst). false where the text does not say. */
bool readings_cache(const char *text, bool v1, uint64_t *cached, uint64_t *unwritten);

/* The texts that readings_take found; NULL: there is no such file. */
struct readings_texts {
    const char *oom;          /* memory.events; memory.oom_control on v1 */
    const char *memory_peak;  /* memory.peak; memory.max_usage_in_bytes on v1 */
    const char *pids_peak, *pids_events;
    const char *cpu;          /* cpu.stat of v2, which every cgroup has, with or without the controller */
    const char *cpu_v1;       /* cpu.stat of v1: the throttling then counts from here */
};
void readings_parse(const struct readings_texts *texts, struct readings *readings);

/* The parts of a usage, from the text of memory.stat; total must be there already: what the kernel does not name is its own. */
bool readings_usage_parse(const char *text, bool v1, struct usage *usage);

/* The kernel says how much is its own: fills in behind. */
void readings_usage_kernel(struct usage *usage, uint64_t kernel);

/* That much is known to have been scratch, and less was seen: it goes together with pid 1, and a look may come too late for some of it, or
 * the kernel's own sums may be behind (mem_cgroup_flush_stats), and what they do not name was taken for the kernel's. */
void readings_usage_scratch(struct usage *usage, uint64_t scratch);

/* The kernel killed when the leaf had used up that many bytes: what it does not name of them is its own. */
void readings_usage_full(struct usage *usage, uint64_t limit);

/* Takes in the next record of /dev/kmsg: the leaf's memory at the kill, who was killed and how large he was (mm/oom_kill.c,
 * mm/memcontrol.c). Begin with all zero; what is there after the last record counts. */
void readings_oom_record(const char *record, const char *path, struct oom_report *report);

/* The name of the victim, where record, one of /dev/kmsg (Documentation/ABI/testing/dev-kmsg), says that the kernel has
 * killed a process of the leaf at path for want of memory, and whose limit that was: the leaf's, that of a cgroup above, or the
 * host's. OOM_UNKNOWN: it says nothing of the kind. The name is as the log has it, odd bytes as \xNN; cut off to fit. */
enum oom_of readings_oom_name(const char *record, const char *path, char *name, size_t size);

#endif

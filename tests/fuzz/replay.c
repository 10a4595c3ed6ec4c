/* Runs a fuzz target on every file of the directories named, and on every prefix of each, without a fuzzer: what was found once
 * stays found, with any compiler and sanitizer. An empty corpus is a failure. */
#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIXES 4096 /* of longer files only the whole */

static unsigned files, inputs;

static void run(const char *path)
{
    struct stat stat;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode)) {
        fprintf(stderr, "%s: not a readable file\n", path);
        exit(1);
    }
    size_t size = (size_t)stat.st_size;
    uint8_t *data = malloc(size + 1);
    MUST(data);
    if (read(fd, data, size + 1) != (ssize_t)size) {
        fprintf(stderr, "%s: cannot be read whole\n", path);
        exit(1);
    }
    close(fd);
    /* Said before, not after: should the target crash, this names the file. */
    fprintf(stderr, "%s (%zu bytes)\n", path, size);
    for (size_t length = size > PREFIXES ? size : 0; length <= size; length++) {
        uint8_t *exact = malloc(length ? length : 1);
        MUST(exact);
        memcpy(exact, data, length);
        LLVMFuzzerTestOneInput(exact, length);
        free(exact);
        inputs++;
    }
    free(data);
    files++;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        DIR *directory = opendir(argv[i]);
        struct dirent *entry;
        if (!directory) { /* a single file, such as a crash that a fuzzer wrote */
            run(argv[i]);
            continue;
        }
        while ((entry = readdir(directory))) {
            char path[PATH_MAX];
            if (entry->d_name[0] == '.')
                continue;
            snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
            run(path);
        }
        closedir(directory);
    }
    if (files == 0) {
        fprintf(stderr, "%s: no file to run; give a corpus directory\n", argv[0]);
        return 1;
    }
    printf("%u files, %u inputs\n", files, inputs);
    return 0;
}

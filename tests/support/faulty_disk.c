/* A disk that fails or is slow when told to: preloaded (LD_PRELOAD) before the C library.
 *
 * Environment: FAULTY_DISK_UNDER, the directory whose files are looked at, no others;
 * FAULTY_DISK_CONTROL, a directory with
 *   rule    "CALLS ERRNO PREFIX\n"; while the file is there, calls on files whose path begins with
 *           PREFIX fail with ERRNO, or wait until the file is gone if ERRNO is 0. CALLS: letters of
 *           w (write, pwrite, writev, pwritev, ftruncate), s (fsync, fdatasync, msync, and what is
 *           written to a file opened with O_DSYNC), o (open for writing);
 *   counts  two counters of 64 bits that all processes share: calls of the kinds w and s.
 *
 * msync has no file descriptor; the file is looked up in /proc/self/maps.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static const char *under, *control;
static uint64_t *counts;

static int raw_open(const char *name, int flags) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", control, name);
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0);
}

__attribute__((constructor)) static void begin(void) {
    under = getenv("FAULTY_DISK_UNDER");
    control = getenv("FAULTY_DISK_CONTROL");
    if (!under || !control) return;
    int file = raw_open("counts", O_RDWR);
    if (file < 0) return;
    void *mapped = mmap(NULL, 2 * sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    syscall(SYS_close, file);
    if (mapped != MAP_FAILED) counts = mapped;
}

static int begins(const char *path, const char *prefix) {
    return strncmp(path, prefix, strlen(prefix)) == 0;
}

/* Return the errno with which a call shall fail, 0 if it shall not, -1 if it shall wait. */
static int rule_for(const char *path, const char *kinds) {
    char text[PATH_MAX + 64], calls[8], prefix[PATH_MAX] = "";
    int error = 0;
    int file = raw_open("rule", O_RDONLY);
    if (file < 0) return 0;
    ssize_t size = syscall(SYS_read, file, text, sizeof text - 1);
    syscall(SYS_close, file);
    if (size <= 0) return 0;
    text[size] = 0;
    if (sscanf(text, "%7s %d %4095[^\n]", calls, &error, prefix) != 3) return 0;
    if (!strpbrk(kinds, calls) || !begins(path, prefix)) return 0;
    return error ? error : -1;
}

static int verdict(const char *path, const char *kinds) {
    const struct timespec look = {0, 1000000};
    int error;
    if (!counts || !begins(path, under)) return 0;
    if (strchr(kinds, 'w')) __atomic_fetch_add(&counts[0], 1, __ATOMIC_SEQ_CST);
    if (strchr(kinds, 's')) __atomic_fetch_add(&counts[1], 1, __ATOMIC_SEQ_CST);
    while ((error = rule_for(path, kinds)) < 0) nanosleep(&look, NULL);
    return error;
}

static int fails(int file, const char *kinds) {
    char link[64], path[PATH_MAX];
    int before = errno;
    if (!counts) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size <= 0) {
        errno = before;
        return 0;
    }
    path[size] = 0;
    if (kinds[0] == 'w' && (fcntl(file, F_GETFL) & O_DSYNC)) kinds = "ws";
    int error = verdict(path, kinds);
    errno = error ? error : before;
    return error;
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

#define ON_FILE(type, name, kinds, parameters, ...) \
    type name parameters { \
        REAL(name); \
        return fails(file, kinds) ? -1 : real(__VA_ARGS__); \
    }

ON_FILE(ssize_t, write, "w", (int file, const void *data, size_t size), file, data, size)
ON_FILE(ssize_t, pwrite, "w", (int file, const void *data, size_t size, off_t at), file, data, size, at)
ON_FILE(ssize_t, pwrite64, "w", (int file, const void *data, size_t size, off64_t at), file, data, size, at)
ON_FILE(ssize_t, writev, "w", (int file, const struct iovec *parts, int count), file, parts, count)
ON_FILE(ssize_t, pwritev, "w", (int file, const struct iovec *parts, int count, off_t at), file, parts, count, at)
ON_FILE(ssize_t, pwritev64, "w", (int file, const struct iovec *parts, int count, off64_t at), file, parts, count, at)
ON_FILE(ssize_t, pwritev2, "w", (int file, const struct iovec *parts, int count, off_t at, int flags), file, parts, count, at, flags)
ON_FILE(ssize_t, pwritev64v2, "w", (int file, const struct iovec *parts, int count, off64_t at, int flags), file, parts, count, at, flags)
ON_FILE(int, ftruncate, "w", (int file, off_t size), file, size)
ON_FILE(int, ftruncate64, "w", (int file, off64_t size), file, size)
ON_FILE(int, fsync, "s", (int file), file)
ON_FILE(int, fdatasync, "s", (int file), file)

int msync(void *address, size_t size, int flags) {
    REAL(msync);
    char line[PATH_MAX + 128];
    FILE *maps = counts ? fopen("/proc/self/maps", "re") : NULL;
    int error = 0;
    while (maps && fgets(line, sizeof line, maps)) {
        unsigned long first, end;
        char *path = strchr(line, '/');
        if (!path || sscanf(line, "%lx-%lx", &first, &end) != 2) continue;
        if (first > (unsigned long)address || (unsigned long)address >= end) continue;
        error = verdict(path, "s");
        break;
    }
    if (maps) fclose(maps);
    if (!error) return real(address, size, flags);
    errno = error;
    return -1;
}

static int opening(const char *path, int flags) {
    if ((flags & O_ACCMODE) == O_RDONLY) return 0;
    int error = verdict(path, "o");
    if (error) errno = error;
    return error;
}

#define OPENS(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest); \
        return opening(path, flags) ? -1 : real(path, flags, mode); \
    }

OPENS(open)
OPENS(open64)

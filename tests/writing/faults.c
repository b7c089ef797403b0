/* Counts, records and breaks the system calls by which a process writes into one folder.
 *
 * Loaded by LD_PRELOAD. fault_arm() says what is to happen; an error of 0 kills the process at that call. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE, FSYNC, RENAME, OPEN, KINDS };

static char folder[PATH_MAX];
static size_t length;
static int counts[KINDS];
static int kind = -1, from = 0, until = 0, code = 0;
static char record[1 << 20];
static size_t recorded;

void fault_arm(const char *where, int what, int first, int last, int error) {
    memset(counts, 0, sizeof counts);
    recorded = 0;
    memset(record, 0, sizeof record);
    kind = what, from = first, until = last, code = error;
    snprintf(folder, sizeof folder, "%s", where);
    length = strlen(folder);
}
void fault_disarm(void) { length = 0; }
int fault_count(int what) { return counts[what]; }
const char *fault_record(void) { return record; }

static int within(const char *path) {
    return length && !strncmp(path, folder, length) && (path[length] == '/' || !path[length]);
}

static void note(const char *call, const char *one, const char *two) {
    size_t room = strlen(one) + strlen(two) + 16, at = __sync_fetch_and_add(&recorded, room);
    if (at + room < sizeof record) {
        int used = snprintf(record + at, room, "%s\t%s\t%s", call, one, two);
        memset(record + at + used, ' ', room - used - 1);
        record[at + room - 1] = '\n';
    }
}

/* Whether this call is to fail; its errno is set then. */
static int fails(int what, const char *call, const char *one, const char *two) {
    if (!length || !(within(one) || (two[0] && within(two)))) return 0;
    note(call, one, two);
    int n = __sync_add_and_fetch(&counts[what], 1);
    if (what != kind || n < from || n > until) return 0;
    if (!code) kill(getpid(), SIGKILL);
    errno = code;
    return 1;
}

static const char *of_fd(int fd, char *room) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, room, PATH_MAX - 1);
    room[n < 0 ? 0 : n] = 0;
    return room;
}

static const char *at(int dir, const char *path, char *room) {
    if (path[0] == '/' || dir == AT_FDCWD) return path;
    of_fd(dir, room);
    size_t used = strlen(room);
    snprintf(room + used, PATH_MAX - used, "/%s", path);
    return room;
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define BY_FD(type, name, what, params, args) \
    type name params { REAL(name); char room[PATH_MAX]; \
        if (length && fails(what, #name, of_fd(fd, room), "")) return -1; \
        return real args; }

BY_FD(ssize_t, write, WRITE, (int fd, const void *data, size_t size), (fd, data, size))
BY_FD(ssize_t, pwrite, WRITE, (int fd, const void *data, size_t size, off_t where), (fd, data, size, where))
BY_FD(ssize_t, pwrite64, WRITE, (int fd, const void *data, size_t size, off64_t where), (fd, data, size, where))
BY_FD(ssize_t, writev, WRITE, (int fd, const struct iovec *parts, int count), (fd, parts, count))
BY_FD(int, fsync, FSYNC, (int fd), (fd))
BY_FD(int, fdatasync, FSYNC, (int fd), (fd))

#define BY_NAMES(name) \
    int name(const char *one, const char *two) { REAL(name); \
        return fails(RENAME, #name, one, two) ? -1 : real(one, two); }
BY_NAMES(rename)
BY_NAMES(link)

int renameat(int d1, const char *p1, int d2, const char *p2) {
    REAL(renameat); char r1[PATH_MAX], r2[PATH_MAX];
    return fails(RENAME, "renameat", at(d1, p1, r1), at(d2, p2, r2)) ? -1 : real(d1, p1, d2, p2);
}
int linkat(int d1, const char *p1, int d2, const char *p2, int flags) {
    REAL(linkat); char r1[PATH_MAX], r2[PATH_MAX];
    return fails(RENAME, "linkat", at(d1, p1, r1), at(d2, p2, r2)) ? -1 : real(d1, p1, d2, p2, flags);
}
int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    return fails(OPEN, "mkdir", path, "") ? -1 : real(path, mode);
}

#define OPENS(name, params, where) \
    int name params { REAL(name); char room[PATH_MAX]; mode_t mode = 0; (void)room; \
        if (flags & (O_CREAT | O_TMPFILE)) { va_list rest; va_start(rest, flags); \
            mode = va_arg(rest, mode_t); va_end(rest); } \
        if (fails(OPEN, #name, where, "")) return -1;
OPENS(open, (const char *path, int flags, ...), path) return real(path, flags, mode); }
OPENS(open64, (const char *path, int flags, ...), path) return real(path, flags, mode); }
OPENS(openat, (int dir, const char *path, int flags, ...), at(dir, path, room)) return real(dir, path, flags, mode); }
OPENS(openat64, (int dir, const char *path, int flags, ...), at(dir, path, room)) return real(dir, path, flags, mode); }

#define STREAM(name) \
    FILE *name(const char *path, const char *mode) { REAL(name); \
        return fails(OPEN, #name, path, "") ? NULL : real(path, mode); }
STREAM(fopen)
STREAM(fopen64)

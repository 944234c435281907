/* Stands between a process and the C library, to make files fail as they do on bad days. The environment says how, and
   is read at every call, so that a child that was forked can be told after its parent was loaded:

   SHIM_LOCK_ERRNO=N   no file can be locked: flock and the locks of fcntl fail with errno N
   SHIM_KILL_AT=N      the process is killed (SIGKILL) instead of its N-th call that changes a file
   SHIM_TORN=1         ... after half of what that call was to write
   SHIM_FAIL_AT=N      that call, and every one after it, fails with errno SHIM_ERRNO
   SHIM_FOLDER=PATH    only files in this folder count, and those below it; not the terminal, say

   Build: cc -shared -fPIC -o shim.so shim.c -ldl */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/types.h>
#include <unistd.h>

static long calls = 0;

static long number(const char *name) {
    const char *value = getenv(name);
    return value ? atol(value) : 0;
}

static int within(const char *path) {
    const char *folder = getenv("SHIM_FOLDER");
    return folder && path && strncmp(path, folder, strlen(folder)) == 0;
}

static int within_descriptor(int descriptor) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return within(path);
}

/* A name that is not absolute is one in the working directory. */
static int within_name(const char *path) {
    char here[PATH_MAX];
    return path && (path[0] == '/' ? within(path) : getcwd(here, sizeof here) && within(here));
}

/* What to do instead of the next call that changes a file: 0 nothing, 1 kill, 2 fail. */
static int due(void) {
    long kill_at = number("SHIM_KILL_AT"), fail_at = number("SHIM_FAIL_AT");
    if (!kill_at && !fail_at) return 0;
    calls++;
    if (kill_at && calls == kill_at) return 1;
    if (fail_at && calls >= fail_at) {
        errno = (int)number("SHIM_ERRNO");
        return 2;
    }
    return 0;
}

static void die_after(ssize_t written) {
    (void)written;
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define CHANGES(result, name, parameters, arguments, counts)                        \
    result name parameters {                                                        \
        int what = (counts) ? due() : 0;                                            \
        if (what == 1) die_after(0);                                                       \
        return what == 2 ? -1 : REAL(name) arguments;                               \
    }

#define WRITES(name, parameters, whole, half)                                       \
    ssize_t name parameters {                                                       \
        int what = within_descriptor(fd) ? due() : 0;                               \
        if (what == 1) die_after(number("SHIM_TORN") ? REAL(name) half : 0);        \
        return what == 2 ? -1 : REAL(name) whole;                                   \
    }

WRITES(write, (int fd, const void *data, size_t n), (fd, data, n), (fd, data, n / 2))
WRITES(pwrite, (int fd, const void *data, size_t n, off_t at), (fd, data, n, at), (fd, data, n / 2, at))
WRITES(pwrite64, (int fd, const void *data, size_t n, off64_t at), (fd, data, n, at), (fd, data, n / 2, at))
CHANGES(int, fsync, (int fd), (fd), within_descriptor(fd))
CHANGES(int, fdatasync, (int fd), (fd), within_descriptor(fd))
CHANGES(int, ftruncate, (int fd, off_t n), (fd, n), within_descriptor(fd))
CHANGES(int, ftruncate64, (int fd, off64_t n), (fd, n), within_descriptor(fd))
CHANGES(int, fchmod, (int fd, mode_t mode), (fd, mode), within_descriptor(fd))
CHANGES(int, unlink, (const char *path), (path), within_name(path))
CHANGES(int, mkdir, (const char *path, mode_t mode), (path, mode), within_name(path))
CHANGES(int, rename, (const char *from, const char *to), (from, to), within_name(to))
CHANGES(int, link, (const char *from, const char *to), (from, to), within_name(to))

#define OPENS(name)                                                                 \
    int name(const char *path, int flags, ...) {                                    \
        va_list rest;                                                               \
        va_start(rest, flags);                                                      \
        mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;                   \
        va_end(rest);                                                               \
        int what = flags & O_CREAT && within_name(path) ? due() : 0;                \
        if (what == 1) die_after(0);                                                       \
        return what == 2 ? -1 : REAL(name)(path, flags, mode);                      \
    }

OPENS(open)
OPENS(open64)

int flock(int fd, int how) {
    long unable = number("SHIM_LOCK_ERRNO");
    if (unable && how != LOCK_UN) {
        errno = (int)unable;
        return -1;
    }
    return REAL(flock)(fd, how);
}

static int locks(int how) {
    return how == F_SETLK || how == F_SETLKW || how == F_GETLK || how == F_OFD_SETLK || how == F_OFD_SETLKW;
}

#define FCNTLS(name)                                                                \
    int name(int fd, int how, ...) {                                                \
        va_list rest;                                                               \
        va_start(rest, how);                                                        \
        void *argument = va_arg(rest, void *);                                      \
        va_end(rest);                                                               \
        long unable = number("SHIM_LOCK_ERRNO");                                    \
        if (unable && locks(how)) {                                                 \
            errno = (int)unable;                                                    \
            return -1;                                                              \
        }                                                                           \
        return REAL(name)(fd, how, argument);                                       \
    }

FCNTLS(fcntl)
FCNTLS(fcntl64)

// Makes one system call on one directory fail, once, and tells which one it was.
//
// Loaded with LD_PRELOAD. Calls of the C library whose path, or whose descriptor's path, lies below a
// directory are counted by class, over all threads; the n-th of a class fails. What it is told, and what
// it reports, is described in ../src/failing_calls.rs.
//
// After a failed sync it goes on as Linux does since 4.13:
//   * the pages count as clean: the next sync of the same descriptor succeeds;
//   * every other descriptor of the file that was open reports the failure once;
//   * what was written since the last good sync is not on the disk. The file's content as of that sync
//     is kept, so that the test can put it back when the process has ended.
// Reads of bytes that the process has read or written before, without a hole from the file's beginning,
// are classes of their own: they come from the page cache, not from the medium.
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum class {
    OPEN, READ, READ_CACHED, PREAD, PREAD_CACHED, WRITE, PWRITE, FSYNC, FDATASYNC, SYNC_FILE_RANGE, FTRUNCATE, FALLOCATE,
    RENAME, UNLINK, RMDIR, MKDIR, READDIR, STAT, CLASSES
};

static const char *const names[CLASSES] = {
    "open", "read", "read-cached", "pread", "pread-cached", "write", "pwrite", "fsync", "fdatasync",
    "sync_file_range", "ftruncate", "fallocate", "rename", "unlink", "rmdir", "mkdir", "readdir", "stat",
};

// What a call is to do instead of its work.
enum fault { NONE, ERROR, SHORT };

#define DESCRIPTORS 4096
#define FILES 8192

static const char *below, *synced, *only;
static size_t below_length;
static int wanted_class = -1, wanted_error, report = -1;
static enum fault wanted_fault;
static unsigned long wanted_call;
static atomic_ulong calls[CLASSES];
static _Atomic int unreported[DESCRIPTORS]; // failure of a sync that a descriptor has yet to report
static atomic_ullong lost_file;             // inode of the file whose sync failed
static pthread_mutex_t copying = PTHREAD_MUTEX_INITIALIZER, caching = PTHREAD_MUTEX_INITIALIZER;
static struct { ino_t inode; off64_t until; } cached[FILES]; // how far a file is in the page cache

static void say(const char *format, ...) {
    char line[PATH_MAX + 128];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (report >= 0 && length > 0) syscall(SYS_write, report, line, (size_t)length);
}

static int error_number(const char *name) {
    if (!strcmp(name, "EIO")) return EIO;
    if (!strcmp(name, "ENOSPC")) return ENOSPC;
    if (!strcmp(name, "EINTR")) return EINTR;
    return 0;
}

__attribute__((constructor)) static void begin(void) {
    const char *directory = getenv("FAILING_CALLS_BELOW"), *file = getenv("FAILING_CALLS_REPORT");
    if (!directory || !file) return;
    report = (int)syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const char *class = getenv("FAILING_CALLS_CLASS"), *error = getenv("FAILING_CALLS_ERROR");
    const char *call = getenv("FAILING_CALLS_NTH");
    if (class && error && call) {
        for (int index = 0; index < CLASSES; index++)
            if (!strcmp(names[index], class)) wanted_class = index;
        wanted_error = error_number(error);
        wanted_fault = strcmp(error, "short") ? ERROR : SHORT;
        wanted_call = strtoul(call, NULL, 10);
        if (wanted_class < 0 || !wanted_call || (wanted_fault == ERROR && !wanted_error)) {
            say("misunderstood %s %s %s\n", class, error, call);
            abort();
        }
    }
    synced = getenv("FAILING_CALLS_SYNCED");
    only = getenv("FAILING_CALLS_ONLY");
    below_length = strlen(directory);
    below = directory;
}

__attribute__((destructor)) static void end(void) {
    for (int index = 0; below && index < CLASSES; index++)
        say("total %s %lu\n", names[index], atomic_load(&calls[index]));
}

static int concerns(const char *path) {
    if (!below || strncmp(path, below, below_length)) return 0;
    if (path[below_length] && path[below_length] != '/') return 0;
    return !only || strstr(path, only) != NULL;
}

static int path_of(int descriptor, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, (size_t)(PATH_MAX - 1));
    path[length > 0 ? length : 0] = 0;
    return length > 0;
}

// The absolute path of a name that a call was given.
static int path_at(int directory, const char *name, char *path) {
    if (!name) return 0;
    if (name[0] == '/') return snprintf(path, PATH_MAX, "%s", name) < PATH_MAX;
    char base[PATH_MAX];
    if (directory == AT_FDCWD ? !getcwd(base, sizeof base) : !path_of(directory, base)) return 0;
    if (!name[0]) return snprintf(path, PATH_MAX, "%s", base) < PATH_MAX;
    return snprintf(path, PATH_MAX, "%s/%s", base, name) < PATH_MAX;
}

// Counts a call on a path; says what it is to do, with errno set.
static enum fault count_path(enum class class, const char *path) {
    if (!concerns(path)) return NONE;
    unsigned long call = atomic_fetch_add(&calls[class], 1) + 1;
    if ((int)class != wanted_class || call != wanted_call) return NONE;
    say("hit %s %lu %s\n", names[class], call, path);
    errno = wanted_error;
    return wanted_fault;
}

static enum fault count_at(enum class class, int directory, const char *name) {
    char path[PATH_MAX];
    return below && path_at(directory, name, path) ? count_path(class, path) : NONE;
}

static enum fault count(enum class class, int descriptor) {
    char path[PATH_MAX];
    return below && path_of(descriptor, path) ? count_path(class, path) : NONE;
}

static int inode_of(int descriptor, struct stat *found) {
    return syscall(SYS_fstat, descriptor, found) == 0;
}

// Keeps the content of a file as it is on the disk after a good sync; an empty one for a new file.
static void keep(int descriptor, const struct stat *file, int is_empty) {
    char path[PATH_MAX], buffer[1 << 16];
    snprintf(path, sizeof path, "%s/%llu", synced, (unsigned long long)file->st_ino);
    snprintf(buffer, sizeof buffer, "/proc/self/fd/%d", descriptor);
    pthread_mutex_lock(&copying);
    int from = is_empty ? -1 : (int)syscall(SYS_openat, AT_FDCWD, buffer, O_RDONLY | O_CLOEXEC, 0);
    int to = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t length = 0;
    while (from >= 0 && (length = syscall(SYS_read, from, buffer, sizeof buffer)) > 0)
        if (syscall(SYS_write, to, buffer, (size_t)length) != length) abort();
    if (to < 0 || length < 0) abort();
    syscall(SYS_close, to);
    if (from >= 0) syscall(SYS_close, from);
    pthread_mutex_unlock(&copying);
}

// Where it is noted how far a file is cached. Call with `caching` locked.
static off64_t *cached_until(ino_t inode) {
    size_t at = inode % FILES;
    while (cached[at].inode && cached[at].inode != inode) at = (at + 1) % FILES;
    cached[at].inode = inode;
    return &cached[at].until;
}

// Notes that a stretch of a file was read or written.
static void note_cached(int descriptor, off64_t from, ssize_t length) {
    struct stat file;
    if (!below || length <= 0 || !inode_of(descriptor, &file) || !S_ISREG(file.st_mode)) return;
    pthread_mutex_lock(&caching);
    off64_t *until = cached_until(file.st_ino);
    if (from <= *until && from + length > *until) *until = from + length;
    pthread_mutex_unlock(&caching);
}

static int is_cached(int descriptor, off64_t from, size_t length) {
    struct stat file;
    if (!below || !inode_of(descriptor, &file) || !S_ISREG(file.st_mode)) return 0;
    off64_t end = from + (off64_t)length < file.st_size ? from + (off64_t)length : file.st_size;
    pthread_mutex_lock(&caching);
    int is = end <= *cached_until(file.st_ino);
    pthread_mutex_unlock(&caching);
    return is;
}

static void note_opened(int descriptor, int was_absent) {
    struct stat file;
    char path[PATH_MAX], kept[PATH_MAX];
    if (!path_of(descriptor, path) || !concerns(path)) return;
    if (!inode_of(descriptor, &file) || !S_ISREG(file.st_mode)) return;
    if (was_absent) {
        // The number may have been another file's.
        pthread_mutex_lock(&caching);
        *cached_until(file.st_ino) = 0;
        pthread_mutex_unlock(&caching);
    }
    if (!synced) return;
    snprintf(kept, sizeof kept, "%s/%llu", synced, (unsigned long long)file.st_ino);
    if (was_absent || syscall(SYS_faccessat, AT_FDCWD, kept, F_OK) != 0)
        keep(descriptor, &file, was_absent);
}

static void note_synced(int descriptor) {
    struct stat file;
    char path[PATH_MAX];
    if (!synced || !path_of(descriptor, path) || !concerns(path)) return;
    if (inode_of(descriptor, &file) && S_ISREG(file.st_mode) && file.st_ino != atomic_load(&lost_file))
        keep(descriptor, &file, 0);
}

// The kernel's part of a failed sync: this descriptor tells of it now, the others once each.
static int fail_sync(int descriptor) {
    int error = errno;
    struct stat file, other;
    if (error != EINTR && inode_of(descriptor, &file)) {
        atomic_store(&lost_file, file.st_ino);
        for (int index = 0; index < DESCRIPTORS; index++)
            if (index != descriptor && inode_of(index, &other) && other.st_ino == file.st_ino &&
                other.st_dev == file.st_dev)
                atomic_store(&unreported[index], error);
        say("lost %llu\n", (unsigned long long)file.st_ino);
    }
    errno = error;
    return -1;
}

static int sync_with(enum class class, long number, int descriptor) {
    if (count(class, descriptor) == ERROR) return fail_sync(descriptor);
    int error = descriptor >= 0 && descriptor < DESCRIPTORS ? atomic_exchange(&unreported[descriptor], 0) : 0;
    if (error) {
        say("reported %s %d\n", names[class], error);
        errno = error;
        return -1;
    }
    int result = (int)syscall(number, descriptor);
    if (result == 0) note_synced(descriptor);
    return result;
}

int fsync(int descriptor) { return sync_with(FSYNC, SYS_fsync, descriptor); }
int fdatasync(int descriptor) { return sync_with(FDATASYNC, SYS_fdatasync, descriptor); }

int sync_file_range(int descriptor, off64_t offset, off64_t length, unsigned int flags) {
    if (count(SYNC_FILE_RANGE, descriptor) == ERROR) return fail_sync(descriptor);
    return (int)syscall(SYS_sync_file_range, descriptor, offset, length, flags);
}

static int open_with(int directory, const char *name, int flags, mode_t mode) {
    if (count_at(OPEN, directory, name) != NONE) return -1;
    int was_absent = below && (flags & O_CREAT) && syscall(SYS_faccessat, directory, name, F_OK) != 0;
    int descriptor = (int)syscall(SYS_openat, directory, name, flags, mode);
    if (descriptor >= 0 && descriptor < DESCRIPTORS) {
        atomic_store(&unreported[descriptor], 0);
        note_opened(descriptor, was_absent);
    }
    return descriptor;
}

#define MODE(flags, last)                                                                              \
    mode_t mode = 0;                                                                                   \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                             \
        va_list arguments;                                                                             \
        va_start(arguments, last);                                                                     \
        mode = (mode_t)va_arg(arguments, int);                                                         \
        va_end(arguments);                                                                             \
    }

int open(const char *path, int flags, ...) { MODE(flags, flags) return open_with(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags, flags) return open_with(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags, flags) return open_with(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags, flags) return open_with(at, path, flags, mode); }

// A read or write of a stretch; `from` is -1 where the descriptor's own position counts.
static ssize_t transfer(enum class class, long number, int descriptor, void *bytes, size_t length, off64_t from) {
    off64_t at = from < 0 && below ? lseek64(descriptor, 0, SEEK_CUR) : from;
    int reads = class == READ || class == PREAD;
    if (reads && at >= 0 && is_cached(descriptor, at, length)) class = class == READ ? READ_CACHED : PREAD_CACHED;
    enum fault fault = count(class, descriptor);
    if (fault == ERROR) return -1;
    if (fault == SHORT && length > 1) length /= 2;
    ssize_t done = from < 0 ? syscall(number, descriptor, bytes, length)
                            : syscall(number, descriptor, bytes, length, from);
    if (at >= 0) note_cached(descriptor, at, done);
    return done;
}

ssize_t read(int descriptor, void *bytes, size_t length) {
    return transfer(READ, SYS_read, descriptor, bytes, length, -1);
}
ssize_t write(int descriptor, const void *bytes, size_t length) {
    return transfer(WRITE, SYS_write, descriptor, (void *)bytes, length, -1);
}
ssize_t pread(int descriptor, void *bytes, size_t length, off_t offset) {
    return transfer(PREAD, SYS_pread64, descriptor, bytes, length, offset);
}
ssize_t pread64(int descriptor, void *bytes, size_t length, off64_t offset) {
    return transfer(PREAD, SYS_pread64, descriptor, bytes, length, offset);
}
ssize_t pwrite(int descriptor, const void *bytes, size_t length, off_t offset) {
    return transfer(PWRITE, SYS_pwrite64, descriptor, (void *)bytes, length, offset);
}
ssize_t pwrite64(int descriptor, const void *bytes, size_t length, off64_t offset) {
    return transfer(PWRITE, SYS_pwrite64, descriptor, (void *)bytes, length, offset);
}

static int truncate_with(int descriptor, off64_t length) {
    return count(FTRUNCATE, descriptor) != NONE ? -1 : (int)syscall(SYS_ftruncate, descriptor, length);
}
int ftruncate(int descriptor, off_t length) { return truncate_with(descriptor, length); }
int ftruncate64(int descriptor, off64_t length) { return truncate_with(descriptor, length); }

static int allocate_with(int descriptor, int mode, off64_t offset, off64_t length) {
    if (count(FALLOCATE, descriptor) != NONE) return -1;
    return (int)syscall(SYS_fallocate, descriptor, mode, offset, length);
}
int fallocate(int descriptor, int mode, off_t offset, off_t length) {
    return allocate_with(descriptor, mode, offset, length);
}
int fallocate64(int descriptor, int mode, off64_t offset, off64_t length) {
    return allocate_with(descriptor, mode, offset, length);
}

static int rename_with(int from_at, const char *from, int to_at, const char *to) {
    if (count_at(RENAME, from_at, from) != NONE) return -1;
    return (int)syscall(SYS_renameat2, from_at, from, to_at, to, 0);
}
int rename(const char *from, const char *to) { return rename_with(AT_FDCWD, from, AT_FDCWD, to); }
int renameat(int from_at, const char *from, int to_at, const char *to) {
    return rename_with(from_at, from, to_at, to);
}

static int remove_with(int at, const char *path, int flags) {
    if (count_at(flags & AT_REMOVEDIR ? RMDIR : UNLINK, at, path) != NONE) return -1;
    return (int)syscall(SYS_unlinkat, at, path, flags);
}
int unlink(const char *path) { return remove_with(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return remove_with(AT_FDCWD, path, AT_REMOVEDIR); }
int unlinkat(int at, const char *path, int flags) { return remove_with(at, path, flags); }

int mkdir(const char *path, mode_t mode) {
    if (count_at(MKDIR, AT_FDCWD, path) != NONE) return -1;
    return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

DIR *opendir(const char *path) {
    static DIR *(*_Atomic real)(const char *);
    if (!atomic_load(&real)) atomic_store(&real, (DIR * (*)(const char *)) dlsym(RTLD_NEXT, "opendir"));
    return count_at(OPEN, AT_FDCWD, path) != NONE ? NULL : atomic_load(&real)(path);
}

struct dirent64 *readdir64(DIR *directory) {
    static struct dirent64 *(*_Atomic real)(DIR *);
    if (!atomic_load(&real))
        atomic_store(&real, (struct dirent64 * (*)(DIR *)) dlsym(RTLD_NEXT, "readdir64"));
    return count(READDIR, dirfd(directory)) != NONE ? NULL : atomic_load(&real)(directory);
}

int statx(int at, const char *restrict path, int flags, unsigned int mask, struct statx *restrict found) {
    if (count_at(STAT, at, path) != NONE) return -1;
    return (int)syscall(SYS_statx, at, path, flags, mask, found);
}

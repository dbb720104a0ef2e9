/* SPDX-License-Identifier: Apache-2.0
 * scribbler.c - an application that writes nonsense wherever it may.
 *
 * Why: an application is somebody else's program, with other rights than
 * grayd's and nginx's, and with its faults.  First it tries to change each
 * thing in the runtime folder; what it could change must be its own.  Then it
 * writes over its own file in readers/, the counters and the ring, bytes,
 * whole blocks, other readers' bytes, numbers that hurt; rings grayd's bell,
 * and leaves odd files in readers/.  It asks libgray in between, as long as
 * that bears it: in children, whose deaths are its own affair.
 *
 * usage: scribbler FOLDER ROUNDS SEED
 * Prints one line of JSON when it has registered and tried, {"changed": [...],
 * "refused": N}, then scribbles ROUNDS times, and prints "done".
 * It must not be root.
 * Read next: a_scribbler_harms_nobody.py.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gray.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t dice;

static uint64_t roll(uint64_t below)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return dice % below;
}

/* ---- what may be changed ----------------------------------------------------
 */

static unsigned refused, changed;

static void tell(const char *path, const char *how, bool done)
{
    if (!done) {
        refused++;
        return;
    }
    printf("%s\"%s %s\"", changed++ > 0 ? ", " : "", how, path);
}

/* Without harm where it is not refused: nothing is cut or removed for good. */
static void try_file(const char *path)
{
    char other[1100];
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);

    tell(path, "open", fd >= 0);
    if (fd >= 0) {
        close(fd);
    }
    tell(path, "chmod", chmod(path, 0666) == 0);
    tell(path, "utime", utimensat(AT_FDCWD, path, NULL, 0) == 0);
    snprintf(other, sizeof(other), "%.1000s.moved", path);
    if (rename(path, other) == 0) {
        tell(path, "rename", rename(other, path) == 0);
    } else {
        refused++;
    }
}

static void try_folder(const char *path)
{
    char inside[1024];
    struct dirent *entry;
    DIR *dir;
    int fd;

    snprintf(inside, sizeof(inside), "%.700s/new-%d", path, (int)getpid());
    fd = open(inside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    tell(path, "create in", fd >= 0);
    if (fd >= 0) {
        close(fd);
        unlink(inside);
    }
    dir = opendir(path);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        struct stat status;

        if (strcmp(entry->d_name, ".") == 0 ||
            strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        snprintf(inside, sizeof(inside), "%.700s/%s", path, entry->d_name);
        if (lstat(inside, &status) == 0 && S_ISDIR(status.st_mode)) {
            try_folder(inside);
        } else {
            try_file(inside);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

/* ---- scribbling
 * --------------------------------------------------------------- */

struct own {
    char path[1400];
    unsigned char *bytes;
    size_t size;
};

/* The file in readers/ that belongs to us. */
static bool find_own(const char *folder, struct own *ret_own)
{
    char path[1024];
    struct dirent *entry;
    DIR *dir;

    snprintf(path, sizeof(path), "%s/readers", folder);
    dir = opendir(path);
    ret_own->bytes = NULL;
    while (dir != NULL && ret_own->bytes == NULL &&
           (entry = readdir(dir)) != NULL) {
        struct stat status;
        int fd;

        snprintf(ret_own->path, sizeof(ret_own->path), "%.1000s/%s", path,
                 entry->d_name);
        fd = open(ret_own->path, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
            status.st_uid == geteuid() && status.st_size > 4096) {
            ret_own->size = (size_t)status.st_size;
            ret_own->bytes = mmap(NULL, ret_own->size, PROT_READ | PROT_WRITE,
                                  MAP_SHARED, fd, 0);
        }
        if (fd >= 0) {
            close(fd);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return ret_own->bytes != NULL && ret_own->bytes != MAP_FAILED;
}

static void write_random(struct own *own, size_t at, size_t length)
{
    size_t i;

    for (i = 0; i < length && at + i < own->size; i++) {
        own->bytes[at + i] = (unsigned char)roll(256);
    }
}

/* Another reader's file over ours: its name, its ring, its records. */
static void write_theirs(struct own *own, const char *folder, const char *whose)
{
    char path[1024];
    int fd;

    snprintf(path, sizeof(path), "%s/readers/%s", folder, whose);
    fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0) {
        ssize_t got = read(fd, own->bytes, own->size);

        (void)got;
        close(fd);
    }
}

static void ring_the_bell(const char *folder)
{
    unsigned char bytes[512];
    char path[1024];
    size_t i;
    int fd;

    snprintf(path, sizeof(path), "%s/marks/wake", folder);
    fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    for (i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (unsigned char)roll(256);
    }
    if (fd >= 0) {
        ssize_t wrote = write(fd, bytes, sizeof(bytes));

        (void)wrote;
        close(fd);
    }
}

/* Names that a reader could have, and such that none has; they stay. */
static void litter(const char *folder, unsigned number)
{
    static const char *const kinds[] = {"library", "nginx", "cli", "odd"};
    char path[1024];
    int fd;

    snprintf(path, sizeof(path), "%s/readers/%s-%u", folder, kinds[number % 4],
             500 + number);
    if (number % 5 == 0) {
        if (symlink("../control", path) != 0) {
            return;
        }
    } else if (number % 5 == 1) {
        if (mkfifo(path, 0666) != 0) {
            return;
        }
    } else {
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd >= 0) {
            int grown = ftruncate(fd, (off_t)roll(3000000));

            (void)grown;
            close(fd);
        }
    }
}

/* A library whose own file is nonsense may end as it likes. */
static void ask(const char *folder)
{
    pid_t pid = fork();

    if (pid == 0) {
        struct gray_client_request request = {.size = sizeof(request)};
        struct gray_client_verdict verdict = {.size = sizeof(verdict)};
        struct gray_client *client = NULL;
        char unit[32];

        alarm(5);
        if (gray_client_open(&client, folder, NULL) == 0) {
            snprintf(unit, sizeof(unit), "scribbled-%u", (unsigned)roll(50));
            request.unit = unit;
            request.target = "/create";
            gray_client_release(client, "order-2", &request, &verdict);
        }
        _exit(0);
    }
    if (pid > 0) {
        waitpid(pid, NULL, 0);
    }
}

static void scribble(struct own *own, const char *folder, unsigned round)
{
    static const char *const others[] = {"nginx-0", "nginx-1", "library-0",
                                         "library-1"};
    static const uint64_t numbers[] = {
        0, 1, 255, 1u << 20, UINT64_MAX, UINT64_MAX / 2, 1ull << 48};
    size_t ring = own->size - 262144 - 64; /* where the ring's head is */
    uint64_t number = numbers[roll(sizeof(numbers) / sizeof(numbers[0]))];

    switch (roll(8)) {
    case 0: /* anywhere */
        write_random(own, roll(own->size), 1 + roll(4096));
        break;
    case 1: /* the head of the file */
        write_random(own, roll(512), 1 + roll(512));
        break;
    case 2: /* the ring's numbers, and its first records */
        write_random(own, ring + roll(64), 1 + roll(4096));
        break;
    case 3: /* how far the ring goes */
        memcpy(own->bytes + ring + 8 * roll(3), &number, sizeof(number));
        break;
    case 4: /* counters, and what was acknowledged */
        memcpy(own->bytes + 8 * roll(2048), &number, sizeof(number));
        break;
    case 5:
        write_theirs(own, folder, others[roll(4)]);
        break;
    case 6:
        ring_the_bell(folder);
        break;
    default:
        if (round % 50 == 0) {
            ask(folder);
        }
        break;
    }
}

int main(int argc, char **argv)
{
    struct gray_client *client = NULL;
    unsigned round, rounds;
    struct own own;

    if (argc != 4 || geteuid() == 0) {
        fprintf(stderr, "usage: scribbler FOLDER ROUNDS SEED, not as root\n");
        return 2;
    }
    rounds = (unsigned)strtoul(argv[2], NULL, 10);
    dice = strtoull(argv[3], NULL, 10) * 2 + 1;
    signal(SIGPIPE, SIG_IGN);
    if (gray_client_open(&client, argv[1], NULL) != 0 ||
        !find_own(argv[1], &own)) {
        fprintf(stderr, "scribbler: no file of its own in %s\n", argv[1]);
        return 1;
    }
    printf("{\"own\": \"%s\", \"changed\": [", own.path);
    try_folder(argv[1]);
    printf("], \"refused\": %u}\n", refused);
    fflush(stdout);
    for (round = 0; round < rounds; round++) {
        scribble(&own, argv[1], round);
        if (round % 64 == 0) {
            litter(argv[1], round / 64 % 40);
        }
    }
    write_theirs(&own, argv[1], "nginx-0"); /* what stays: no nonsense */
    printf("done\n");
    fflush(stdout);
    pause(); /* until it is ended: its file is a living reader's */
    return 0;
}

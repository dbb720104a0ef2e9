/* SPDX-License-Identifier: Apache-2.0
 * signer.c - the key, and checkpoints appended to a file outside the store.
 *
 * Why: who can write the database cannot sign.  The key is made at first
 * start, whole or not at all, readable by its owner only whatever the umask;
 * a key that others could have read is refused, and one that vanished is not
 * silently replaced.  A checkpoint is one write and one fsync; once an fsync
 * has failed nothing more is signed, and a tree that contradicts what was
 * signed before is never signed.
 * Read next: walk.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/audit/internal.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

#define KEY_FILE_MAX 4096u
#define FOLDER "audit"

struct audit_signer {
    EVP_PKEY *key;
    struct audit_verifier verifier;
    char line[VERIFIER_MAX];
    int folder, file; /* <state>/audit, and checkpoints in it */
    bool failed;      /* an fsync did: what is on disk is not known */
    bool signed_before;
    struct audit_note last;
};

static int io_problem(struct gray_problem *ret_problem, int error,
                      const char *what)
{
    return runtime_problem_set(ret_problem, error,
                               error == ENOSPC ? "disk-full" : "io",
                               "%s: %s.", what, strerror(error));
}

/* ---- files of the folder ----------------------------------------------- */

static int open_folder(const char *state, int *ret_folder,
                       struct gray_problem *ret_problem)
{
    CLEANUP_FD int parent = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int folder;

    if (parent < 0) {
        return io_problem(ret_problem, errno, "The state folder");
    }
    if (mkdirat(parent, FOLDER, 0700) == 0) {
        if (fsync(parent) != 0) {
            return io_problem(ret_problem, errno, "The state folder");
        }
    } else if (errno != EEXIST) {
        return io_problem(ret_problem, errno, FOLDER);
    }
    folder = openat(parent, FOLDER,
                    O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (folder < 0) {
        return io_problem(ret_problem, errno, FOLDER);
    }
    *ret_folder = folder;
    return 0;
}

static int write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t done = write(fd, bytes, size);

        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return done < 0 ? errno : EIO;
        }
        bytes += done;
        size -= (size_t)done;
    }
    return 0;
}

/* A file that is there whole, synced, or not at all. */
static int write_file(int folder, const char *name, const char *bytes,
                      size_t size, mode_t mode,
                      struct gray_problem *ret_problem)
{
    char fresh[32];
    int error = 0, fd;

    snprintf(fresh, sizeof(fresh), "%s.new", name);
    unlinkat(folder, fresh, 0);
    fd = openat(folder, fresh,
                O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return io_problem(ret_problem, errno, fresh);
    }
    error = write_all(fd, bytes, size);
    if (error == 0 && (fchmod(fd, mode) != 0 || fsync(fd) != 0)) {
        error = errno;
    }
    if (close(fd) != 0 && error == 0) {
        error = errno;
    }
    if (error == 0 && (renameat(folder, fresh, folder, name) != 0 ||
                       fsync(folder) != 0)) {
        error = errno;
    }
    if (error != 0) {
        unlinkat(folder, fresh, 0);
        return io_problem(ret_problem, error, name);
    }
    return 0;
}

/* At most `size` bytes of a file. 0 and how many; 1: there is none. */
static int read_file(int folder, const char *name, bool secret, char *bytes,
                     size_t size, size_t *ret_length,
                     struct gray_problem *ret_problem)
{
    CLEANUP_FD int fd =
        openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat status;
    ssize_t length;

    if (fd < 0 && errno == ENOENT) {
        return 1;
    }
    if (fd < 0 || fstat(fd, &status) != 0) {
        return io_problem(ret_problem, errno, name);
    }
    if (!S_ISREG(status.st_mode) || (size_t)status.st_size > size) {
        return runtime_problem_set(ret_problem, EINVAL, "bad-file",
                                   "audit/%s is not such a file.", name);
    }
    if (secret &&
        (status.st_uid != geteuid() || (status.st_mode & 077) != 0)) {
        return runtime_problem_set(
            ret_problem, EPERM, "untrusted-file",
            "audit/%s may be read by others (uid %u, mode %04o): take it as "
            "known to them, and make a new one.",
            name, (unsigned)status.st_uid, (unsigned)status.st_mode & 07777);
    }
    length = pread(fd, bytes, size, 0);
    if (length < 0) {
        return io_problem(ret_problem, errno, name);
    }
    *ret_length = (size_t)length;
    return 0;
}

/* ---- the key ----------------------------------------------------------- */

/* Nobody sits at a terminal to be asked for a password. */
static int no_password(char *room, int size, int writing, void *context)
{
    (void)room;
    (void)size;
    (void)writing;
    (void)context;
    return -1;
}

static int make_key(struct audit_signer *signer,
                    struct gray_problem *ret_problem)
{
    BIO *text = BIO_new(BIO_s_secmem());
    char *bytes = NULL;
    long size = 0;
    int error = -ENOMEM;

    signer->key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    if (signer->key != NULL && text != NULL &&
        PEM_write_bio_PrivateKey(text, signer->key, NULL, NULL, 0, NULL,
                                 NULL) == 1) {
        size = BIO_get_mem_data(text, &bytes);
        error = write_file(signer->folder, "key", bytes, (size_t)size, 0600,
                           ret_problem);
        OPENSSL_cleanse(bytes, (size_t)size);
    } else {
        runtime_problem_set(ret_problem, ENOMEM, "no-key",
                            "A key could not be made.");
    }
    BIO_free(text);
    return error;
}

/* 0; 1: there is none. */
static int read_key(struct audit_signer *signer,
                    struct gray_problem *ret_problem)
{
    char bytes[KEY_FILE_MAX];
    size_t length = 0;
    BIO *text;
    int error = read_file(signer->folder, "key", true, bytes, sizeof(bytes),
                          &length, ret_problem);

    if (error != 0) {
        return error;
    }
    text = BIO_new_mem_buf(bytes, (int)length);
    if (text != NULL) {
        signer->key = PEM_read_bio_PrivateKey(text, NULL, no_password, NULL);
    }
    BIO_free(text);
    OPENSSL_cleanse(bytes, sizeof(bytes));
    if (signer->key == NULL ||
        EVP_PKEY_get_base_id(signer->key) != EVP_PKEY_ED25519) {
        return runtime_problem_set(ret_problem, EINVAL, "bad-key",
                                   "audit/key is no Ed25519 key in PEM.");
    }
    return 0;
}

/* The verifier of the key: its name is the one in key.pub, if there is one. */
static int name_key(struct audit_signer *signer, const char *origin,
                    const char *line, size_t length,
                    struct gray_problem *ret_problem)
{
    uint8_t raw[NOTE_KEY];
    size_t size = sizeof(raw);

    if (EVP_PKEY_get_raw_public_key(signer->key, raw, &size) != 1 ||
        size != sizeof(raw)) {
        return runtime_problem_set(ret_problem, EINVAL, "bad-key",
                                   "audit/key has no public half.");
    }
    if (length == 0) {
        audit_verifier_make(origin, raw, &signer->verifier);
        audit_verifier_write(&signer->verifier, signer->line);
        strcat(signer->line, "\n");
        return write_file(signer->folder, "key.pub", signer->line,
                          strlen(signer->line), 0644, ret_problem);
    }
    if (audit_verifier_read(line, length, &signer->verifier) != 0 ||
        memcmp(signer->verifier.key, raw, sizeof(raw)) != 0) {
        return runtime_problem_set(
            ret_problem, EINVAL, "bad-key",
            "audit/key.pub is not the public half of audit/key.");
    }
    return 0;
}

static int open_key(struct audit_signer *signer, const char *origin,
                    struct gray_problem *ret_problem)
{
    char line[VERIFIER_MAX];
    size_t length = 0;
    int error = read_file(signer->folder, "key.pub", false, line,
                          sizeof(line), &length, ret_problem);
    bool named = error == 0;

    if (error >= 0) {
        error = read_key(signer, ret_problem);
    }
    if (error == 1 && named) {
        return runtime_problem_set(
            ret_problem, ENOENT, "key-missing",
            "audit/key is gone, audit/key.pub is not: put it back, or move "
            "the folder aside to begin with a new key.");
    }
    if (error == 1) {
        error = make_key(signer, ret_problem);
    }
    if (error == 0) {
        error = name_key(signer, origin, line, length, ret_problem);
    }
    if (error == 0) {
        audit_verifier_write(&signer->verifier, signer->line);
    }
    return error;
}

/* ---- the file of checkpoints ------------------------------------------- */

/* Cuts off what a crash left behind the last whole note, and reads that. */
static int recover_file(struct audit_signer *signer,
                        struct gray_problem *ret_problem)
{
    char bytes[8 * NOTE_MAX];
    size_t begin = 0, end = 0, length;
    struct stat status;
    off_t from;
    ssize_t got;

    if (fstat(signer->file, &status) != 0) {
        return io_problem(ret_problem, errno, "checkpoints");
    }
    from = status.st_size > (off_t)sizeof(bytes)
               ? status.st_size - (off_t)sizeof(bytes)
               : 0;
    got = pread(signer->file, bytes, sizeof(bytes), from);
    if (got < 0) {
        return io_problem(ret_problem, errno, "checkpoints");
    }
    length = (size_t)got;
    if (audit_notes_last(bytes, length, &begin, &end)) {
        signer->signed_before =
            audit_note_read(bytes + begin, end - begin - 1,
                            &signer->verifier, &signer->last) == 0;
    }
    if (length - end > NOTE_MAX || (end == 0 && from > 0)) {
        return runtime_problem_set(
            ret_problem, EILSEQ, "corrupt",
            "audit/checkpoints ends in what is no checkpoint and what no "
            "crash leaves: move it aside, and keep it.");
    }
    if (end < length && (ftruncate(signer->file, from + (off_t)end) != 0 ||
                         fsync(signer->file) != 0)) {
        return io_problem(ret_problem, errno, "checkpoints");
    }
    return 0;
}

static int open_file(struct audit_signer *signer,
                     struct gray_problem *ret_problem)
{
    struct stat status;

    signer->file = openat(signer->folder, "checkpoints",
                          O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC |
                              O_NOFOLLOW | O_NONBLOCK,
                          0644);
    if (signer->file < 0 || fstat(signer->file, &status) != 0) {
        return io_problem(ret_problem, errno, "checkpoints");
    }
    if (!S_ISREG(status.st_mode)) {
        return runtime_problem_set(ret_problem, EINVAL, "bad-file",
                                   "audit/checkpoints is not a file.");
    }
    if (fsync(signer->folder) != 0) {
        return io_problem(ret_problem, errno, FOLDER);
    }
    return recover_file(signer, ret_problem);
}

int audit_signer_open(struct audit_signer **ret_signer, const char *state,
                      const char *origin, struct gray_problem *ret_problem)
{
    struct audit_signer *signer;
    int error;

    if (!audit_origin_good(origin)) {
        return runtime_problem_set(
            ret_problem, EINVAL, "bad-origin",
            "The origin of checkpoints has 1 to %u visible ASCII characters, "
            "no plus.",
            NOTE_ORIGIN_MAX);
    }
    signer = calloc(1, sizeof(*signer));
    if (signer == NULL) {
        return runtime_problem_set(ret_problem, ENOMEM, "no-memory",
                                   "There is no memory for a signer.");
    }
    signer->folder = -1;
    signer->file = -1;
    error = open_folder(state, &signer->folder, ret_problem);
    if (error == 0) {
        error = open_key(signer, origin, ret_problem);
    }
    if (error == 0) {
        error = open_file(signer, ret_problem);
    }
    if (error != 0) {
        audit_signer_close(signer);
        return error;
    }
    *ret_signer = signer;
    return 0;
}

void audit_signer_close(struct audit_signer *signer)
{
    if (signer != NULL) {
        EVP_PKEY_free(signer->key);
        runtime_fd_close(&signer->file);
        runtime_fd_close(&signer->folder);
        free(signer);
    }
}

const char *audit_signer_verifier(const struct audit_signer *signer)
{
    return signer->line;
}

/* ---- signing ----------------------------------------------------------- */

const struct audit_verifier *audit_signer_key(const struct audit_signer *signer)
{
    return &signer->verifier;
}

int audit_sign(const struct audit_signer *signer, const char *body,
               size_t length, uint8_t ret_signature[NOTE_SIGNATURE])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    size_t size = NOTE_SIGNATURE;
    bool good = context != NULL &&
                EVP_DigestSignInit(context, NULL, NULL, NULL, signer->key) ==
                    1 &&
                EVP_DigestSign(context, ret_signature, &size,
                               (const uint8_t *)body, length) == 1 &&
                size == NOTE_SIGNATURE;

    EVP_MD_CTX_free(context);
    return good ? 0 : -ENOMEM;
}

/* All of it, synced, or nothing. */
static int append(struct audit_signer *signer, const char *text, size_t length,
                  struct gray_problem *ret_problem)
{
    off_t before = lseek(signer->file, 0, SEEK_END);
    int error = before < 0 ? errno : write_all(signer->file, text, length);

    if (error != 0) {
        if (before < 0 || ftruncate(signer->file, before) != 0) {
            signer->failed = true;
        }
        return io_problem(ret_problem, error, "checkpoints");
    }
    if (fsync(signer->file) != 0) {
        error = errno;
        signer->failed = true;
        return io_problem(ret_problem, error, "checkpoints");
    }
    return 0;
}

/* What was signed once must stay true. */
static bool contradicts(const struct audit_signer *signer,
                        const struct audit_note *note)
{
    const struct audit_note *last = &signer->last;

    return signer->signed_before &&
           (note->size < last->size ||
            (note->size == last->size &&
             (memcmp(note->root, last->root, AUDIT_HASH) != 0 ||
              memcmp(note->chain, last->chain, AUDIT_HASH) != 0)));
}

int audit_checkpoint(struct audit_signer *signer,
                     const struct audit_tree *tree,
                     const uint8_t chain[AUDIT_HASH], int64_t at,
                     char **ret_note, struct gray_problem *ret_problem)
{
    struct audit_note note = {.size = tree->size, .at = at < 0 ? 0 : at};
    uint8_t signature[NOTE_SIGNATURE];
    char text[NOTE_MAX], *copy;
    size_t length;
    int error;

    if (signer->failed) {
        return runtime_problem_set(
            ret_problem, EIO, "audit-failed",
            "Checkpoints failed to reach the disk earlier; none is written "
            "until grayd starts anew.");
    }
    strcpy(note.origin, signer->verifier.origin);
    memcpy(note.chain, chain, AUDIT_HASH);
    audit_tree_root(tree, note.root);
    if (contradicts(signer, &note)) {
        return runtime_problem_set(
            ret_problem, EILSEQ, "audit-behind",
            "%llu records contradict the checkpoint of %llu that was signed "
            "before: the store was put back or changed.",
            (unsigned long long)note.size,
            (unsigned long long)signer->last.size);
    }
    length = audit_note_body(&note, text);
    if (audit_sign(signer, text, length, signature) != 0) {
        return runtime_problem_set(ret_problem, ENOMEM, "no-memory",
                                   "The checkpoint could not be signed.");
    }
    length = audit_note_sign(text, sizeof(text), length, &signer->verifier,
                             signature);
    copy = ret_note == NULL ? NULL : strdup(text);
    if (ret_note != NULL && copy == NULL) {
        return runtime_problem_set(ret_problem, ENOMEM, "no-memory",
                                   "There is no memory for a checkpoint.");
    }
    text[length++] = '\n'; /* the blank line that ends it in the file */
    error = append(signer, text, length, ret_problem);
    if (error != 0) {
        free(copy);
        return error;
    }
    signer->last = note;
    signer->signed_before = true;
    if (ret_note != NULL) {
        *ret_note = copy;
    }
    return 0;
}

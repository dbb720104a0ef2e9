/* SPDX-License-Identifier: Apache-2.0
 * replay.c - runs a fuzz target over every file of its corpus.
 *
 * Why: what a fuzzer once found must stay found, on every build and without
 * libFuzzer.  usage: replay FOLDER-OR-FILE...  A missing or empty folder is a
 * failure, for it would test nothing.
 * Read next: fuzz.h.
 */
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"

#define PATH_BYTES 4096

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct stat about;
    uint8_t *bytes = NULL;
    int answer = -1;

    if (file == NULL || fstat(fileno(file), &about) != 0) {
        goto out;
    }
    /* Exactly as long as the file, so that a sanitizer sees one byte more. */
    bytes = malloc(about.st_size == 0 ? 1 : (size_t)about.st_size);
    if (bytes == NULL ||
        fread(bytes, 1, (size_t)about.st_size, file) != (size_t)about.st_size) {
        goto out;
    }
    LLVMFuzzerTestOneInput(bytes, (size_t)about.st_size);
    answer = 0;
out:
    if (answer != 0) {
        fprintf(stderr, "replay: %s cannot be read\n", path);
    }
    if (file != NULL) {
        fclose(file);
    }
    free(bytes);
    return answer;
}

static int replay_folder(const char *path, unsigned *count)
{
    DIR *folder = opendir(path);
    const struct dirent *entry;
    char name[PATH_BYTES];
    int answer = 0;

    if (folder == NULL) {
        fprintf(stderr, "replay: %s is no folder\n", path);
        return -1;
    }
    while ((entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        if (snprintf(name, sizeof(name), "%s/%s", path, entry->d_name) >=
                (int)sizeof(name) ||
            replay_file(name) != 0) {
            answer = -1;
        }
        ++*count;
    }
    closedir(folder);
    return answer;
}

int main(int argc, char **argv)
{
    struct stat about;
    unsigned count = 0;
    int i, answer = 0;

    for (i = 1; i < argc; i++) {
        if (stat(argv[i], &about) == 0 && S_ISREG(about.st_mode)) {
            answer |= replay_file(argv[i]);
            count++;
        } else {
            answer |= replay_folder(argv[i], &count);
        }
    }
    printf("%u inputs replayed\n", count);
    return answer != 0 || count == 0;
}

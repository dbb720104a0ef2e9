/* SPDX-License-Identifier: Apache-2.0
 * doctor_nginx.c - is nginx there, new enough, and does it load our module?
 *
 * Why: a module built for another nginx is refused at start, at the worst
 * moment.  So nginx itself is asked, with a configuration of its own in a
 * folder of its own that listens nowhere; the running nginx is not touched.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/doctor.h"

#define OUTPUT_MAX 4096
#define MODULE_NAME "ngx_http_gray_module.so"

/* Runs a program with both outputs kept. Its exit code; -1: not started. */
static int capture(char *const *argv, char output[OUTPUT_MAX])
{
    int ends[2], status = -1;
    size_t length = 0;
    ssize_t got;
    pid_t child;

    output[0] = '\0';
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return -1;
    }
    child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(ends[1]);
    while (child > 0 && length + 1 < OUTPUT_MAX) {
        got = read(ends[0], output + length, OUTPUT_MAX - 1 - length);
        if (got <= 0 && !(got < 0 && errno == EINTR)) {
            break;
        }
        length += got > 0 ? (size_t)got : 0;
    }
    output[length] = '\0';
    close(ends[0]);
    if (child > 0 && waitpid(child, &status, 0) == child &&
        WIFEXITED(status)) {
        return WEXITSTATUS(status);
    }
    return -1;
}

/* The first line without its end. */
static const char *first_line(char *text)
{
    text[strcspn(text, "\n")] = '\0';
    return text;
}

static bool check_version(struct doctor *doctor, char *nginx)
{
    char output[OUTPUT_MAX];
    char *argv[] = { nginx, (char[]) { "-v" }, NULL };
    const char *at;
    int major = 0, minor = 0, code = capture(argv, output);

    if (code != 0) {
        doctor_add(doctor, "nginx", DOCTOR_FAIL, "apt-get install nginx",
                   code == 127 ? "%s was not found" : "%s -v failed", nginx);
        return false;
    }
    at = strstr(output, "nginx/");
    if (at == NULL || sscanf(at, "nginx/%d.%d", &major, &minor) != 2 ||
        major * 1000 + minor < 1022) {
        doctor_add(doctor, "nginx", DOCTOR_FAIL,
                   "Install nginx 1.22 or newer.", "%s", first_line(output));
        return false;
    }
    doctor_add(doctor, "nginx", DOCTOR_OK, "", "%s", first_line(output));
    return true;
}

/* Where the module lies: named, beside this program, or with nginx. */
static bool find_module(const struct doctor *doctor, char ret_path[4200])
{
    const char *named = arguments_get(doctor->arguments, CLI_MODULE);
    const char *const places[] = { "%s/../lib/" MODULE_NAME,
                                   "%s/../lib/nginx/modules/" MODULE_NAME,
                                   "%s/../../lib/" MODULE_NAME };
    char own[4096] = "";
    ssize_t length;

    if (named != NULL) {
        snprintf(ret_path, 4200, "%s%s", *named == '/' ? "" : "./", named);
        return realpath(named, own) != NULL &&
               snprintf(ret_path, 4200, "%s", own) > 0;
    }
    length = readlink("/proc/self/exe", own, sizeof(own) - 1);
    own[length > 0 ? length : 0] = '\0';
    if (strrchr(own, '/') != NULL) {
        *strrchr(own, '/') = '\0';
    }
    snprintf(ret_path, 4200, places[0], own);
    if (access(ret_path, R_OK) != 0) {
        snprintf(ret_path, 4200, places[1], own);
    }
    if (access(ret_path, R_OK) != 0) {
        snprintf(ret_path, 4200, places[2], own);
    }
    if (access(ret_path, R_OK) != 0) {
        snprintf(ret_path, 4200, "/usr/lib/nginx/modules/" MODULE_NAME);
    }
    return access(ret_path, R_OK) == 0;
}

static int write_conf(const char *folder, const char *module)
{
    char path[4200];
    FILE *file;

    snprintf(path, sizeof(path), "%s/nginx.conf", folder);
    file = fopen(path, "we");
    if (file == NULL) {
        return -1;
    }
    fprintf(file,
            "load_module \"%s\";\n"
            "pid \"%s/pid\";\n"
            "error_log stderr;\n"
            "events { }\n"
            "http {\n"
            "    access_log off;\n"
            "    client_body_temp_path \"%s/t1\";\n"
            "    proxy_temp_path \"%s/t2\";\n"
            "    fastcgi_temp_path \"%s/t3\";\n"
            "    uwsgi_temp_path \"%s/t4\";\n"
            "    scgi_temp_path \"%s/t5\";\n"
            "}\n",
            module, folder, folder, folder, folder, folder, folder);
    return fclose(file);
}

static void remove_conf(const char *folder)
{
    static const char *const names[] = { "nginx.conf", "pid", "t1", "t2",
                                         "t3", "t4", "t5" };
    char path[4200];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        remove(path);
    }
    rmdir(folder);
}

static void check_module(struct doctor *doctor, char *nginx)
{
    char module[4200], output[OUTPUT_MAX], conf[128];
    char folder[] = "/tmp/gray-doctor-XXXXXX";
    char *argv[] = { nginx, (char[]) { "-t" }, (char[]) { "-q" },
                     (char[]) { "-p" }, folder, (char[]) { "-c" }, conf,
                     NULL };
    int code;

    if (!find_module(doctor, module)) {
        doctor_add(doctor, "module", DOCTOR_FAIL,
                   "Build or install it, or name it with --module.",
                   MODULE_NAME " was not found (last looked at %.300s)",
                   module);
        return;
    }
    if (mkdtemp(folder) == NULL) {
        doctor_add(doctor, "module", DOCTOR_FAIL, "Make /tmp writable.",
                   "/tmp: %s", strerror(errno));
        return;
    }
    snprintf(conf, sizeof(conf), "%s/nginx.conf", folder);
    code = write_conf(folder, module) == 0 ? capture(argv, output) : -1;
    remove_conf(folder);
    if (code == 0) {
        doctor_add(doctor, "module", DOCTOR_OK, "", "nginx loads %.300s",
                   module);
    } else {
        doctor_add(doctor, "module", DOCTOR_FAIL,
                   "Build the module for this very nginx (make build).",
                   "nginx refuses %.200s: %.300s", module,
                   first_line(output));
    }
}

void doctor_nginx(struct doctor *doctor)
{
    const char *given = arguments_get(doctor->arguments, CLI_NGINX);
    char nginx[4096];

    /* Not every user has /usr/sbin in PATH. */
    snprintf(nginx, sizeof(nginx), "%s",
             given != NULL                            ? given
             : access("/usr/sbin/nginx", X_OK) == 0 ? "/usr/sbin/nginx"
                                                      : "nginx");
    if (check_version(doctor, nginx)) {
        check_module(doctor, nginx);
    }
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of the log in lib/daemon/ovs_daemon.c: a module that is made to say too
 * much is cut short, others and errors are not. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/ovs_daemon.h"
#include "openvswitch/vlog.h"
#include "util.h"

/* Lines of the log with 'text'. */
static int
lines(const char *path, const char *text)
{
    char line[512];
    int n = 0;
    FILE *file = fopen(path, "r");

    while (file && fgets(line, sizeof line, file)) {
        n += strstr(line, text) != NULL;
    }
    if (file) {
        fclose(file);
    }
    return n;
}

static void
say(enum ovs_daemon_level level, const char *module, const char *text, int n)
{
    for (int i = 0; i < n; i++) {
        ovs_daemon_log(level, module, text);
    }
}

static int failed;

static void
check(bool ok, const char *what)
{
    printf("%s: %s\n", ok ? "ok" : "FAILED", what);
    failed += !ok;
}

int
main(int argc OVS_UNUSED, char *argv[])
{
    char path[] = "/tmp/nvo3-log-test-XXXXXX";
    int fd = mkstemp(path);

    ovs_daemon_name(argv[0], "test");
    vlog_set_levels(NULL, VLF_CONSOLE, VLL_OFF);
    if (fd < 0 || vlog_set_log_file(path)) {
        perror("log file");
        return EXIT_FAILURE;
    }

    say(OVS_DAEMON_WARN, "noisy", "flood", 1000);
    say(OVS_DAEMON_INFO, "noisy", "news", 1);
    say(OVS_DAEMON_WARN, "quiet", "other", 1);
    say(OVS_DAEMON_ERR, "noisy", "error", 1000);
    check(lines(path, "noisy: flood") >= 1, "a flood is told of");
    check(lines(path, "noisy: flood") <= 220, "a flood is cut short");
    check(lines(path, "noisy: news") == 1, "another level is not held back");
    check(lines(path, "quiet: other") == 1, "another module is not held back");
    check(lines(path, "noisy: error") == 1000, "no error is lost");

    static char names[100][16];     /* The log keeps the pointers. */
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        snprintf(names[i], sizeof names[i], "module%"PRIuSIZE, i);
        ovs_daemon_log(OVS_DAEMON_WARN, names[i], "many");
    }
    check(lines(path, ": many") >= 30, "more modules than expected do no harm");

    close(fd);
    unlink(path);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

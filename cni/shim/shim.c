/* The executable that a container runtime starts. It does no work: it hands its CNI_* environment,
 * its standard input and the pod's open network namespace to the server on a Unix socket, and
 * copies the answer to standard output.
 *
 * It parses no JSON. What it answers itself is fixed text of the CNI specification (1.0.0,
 * "Error" and "Version"): a caller that speaks an older version reads the same fields.
 *
 * The request's fields (frame.h) are CNI_COMMAND, CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME, CNI_ARGS,
 * CNI_PATH and standard input; the descriptor is that of the pod's network namespace.
 */
#define _GNU_SOURCE
#include "frame.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define DEFAULT_SOCKET "/run/felix-py/cni.sock"

enum {
    MAX_STDIN_BYTES = 1 << 20,   /* a longer configuration is refused */
    MAX_FIELD_BYTES = 64 << 10,  /* a longer variable is refused */
    OVERALL_MS = 90 * 1000,      /* then: "try again later" */
    ENVIRONMENT_FIELDS = 6,
    FIELDS = ENVIRONMENT_FIELDS + 1,
};

enum { COMMAND, CONTAINER_ID, NETNS, IFNAME };

static const char *const NAMES[ENVIRONMENT_FIELDS] = {
    "CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH",
};

/* Error codes of the specification. */
enum { BAD_ENVIRONMENT = 4, IO_FAILURE = 5, NOT_DECODED = 6, TRY_AGAIN = 11 };

/* `name` is one of our own constants: nothing here needs escaping. */
static int refuse(int code, const char *name, const char *what)
{
    printf("{\"cniVersion\":\"1.0.0\",\"code\":%d,\"msg\":\"%s%s%s\",\"details\":\"\"}\n", code, name,
           *name ? " " : "", what);
    fflush(stdout);
    return 1;
}

static int version(void)
{
    puts("{\"cniVersion\":\"1.0.0\",\"supportedVersions\":[\"0.3.1\",\"0.4.0\",\"1.0.0\"]}");
    fflush(stdout);
    return 0;
}

/* Standard input up to its end. -1: too long, -2: I/O error or time over. */
static ssize_t read_stdin(char *into, int64_t deadline)
{
    size_t length = 0;
    for (;;) {
        if (await(STDIN_FILENO, POLLIN, deadline) != 1)
            return -2;
        ssize_t got = read(STDIN_FILENO, into + length, MAX_STDIN_BYTES + 1 - length);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got < 0)
            return -2;
        if (got == 0)
            return (ssize_t)length;
        length += (size_t)got;
        if (length > MAX_STDIN_BYTES)
            return -1;
    }
}

static int exchange(const char *path, const struct field *fields, int namespace, int64_t deadline)
{
    size_t length = 0;
    char *request = pack(fields, FIELDS, &length);
    if (request == NULL)
        return refuse(IO_FAILURE, "", "out of memory");
    while (now_ms() < deadline) {
        int sock = connect_to(path, deadline);
        if (sock < 0)
            break;
        int code = ask(sock, request, length, namespace, deadline);
        close(sock);
        if (code != -1) {
            free(request);
            return code >= 0 ? code : refuse(IO_FAILURE, "", "the answer cannot be delivered");
        }
        poll(NULL, 0, RETRY_MS);
    }
    free(request);
    return refuse(TRY_AGAIN, "", "felix-cni does not answer on this node; try again later");
}

/* 0: everything that the command needs is there; else what was answered. */
static int check(const struct field *fields)
{
    const char *command = fields[COMMAND].bytes;
    int pod = strcmp(command, "ADD") == 0 || strcmp(command, "CHECK") == 0;
    int owned = pod || strcmp(command, "DEL") == 0;
    if (!owned && strcmp(command, "STATUS") != 0 && strcmp(command, "GC") != 0)
        return refuse(BAD_ENVIRONMENT, NAMES[COMMAND],
                      "must be ADD, DEL, CHECK, STATUS, GC or VERSION");
    for (int i = 0; i < ENVIRONMENT_FIELDS; i++)
        if (fields[i].length > MAX_FIELD_BYTES)
            return refuse(BAD_ENVIRONMENT, NAMES[i], "is longer than 64 KiB");
    if (owned && fields[CONTAINER_ID].length == 0)
        return refuse(BAD_ENVIRONMENT, NAMES[CONTAINER_ID], "is missing");
    if (owned && fields[IFNAME].length == 0)
        return refuse(BAD_ENVIRONMENT, NAMES[IFNAME], "is missing");
    if (pod && fields[NETNS].length == 0)
        return refuse(BAD_ENVIRONMENT, NAMES[NETNS], "is missing");
    return 0;
}

int main(void)
{
    static char input[MAX_STDIN_BYTES + 1];
    struct field fields[FIELDS];
    int64_t deadline = now_ms() + OVERALL_MS;
    int namespace = -1;

    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < ENVIRONMENT_FIELDS; i++) {
        const char *value = getenv(NAMES[i]);
        fields[i].bytes = value ? value : "";
        fields[i].length = strlen(fields[i].bytes);
    }
    if (strcmp(fields[COMMAND].bytes, "VERSION") == 0)
        return version();
    if (check(fields) != 0)
        return 1;

    const char *path = getenv("FELIX_PY_CNI_SOCKET");
    if (path == NULL || *path == '\0')
        path = DEFAULT_SOCKET;
    if (strlen(path) >= sizeof((struct sockaddr_un *)0)->sun_path)
        return refuse(BAD_ENVIRONMENT, "FELIX_PY_CNI_SOCKET", "is longer than 107 bytes");

    ssize_t length = read_stdin(input, deadline);
    if (length == -1)
        return refuse(NOT_DECODED, "", "the network configuration is longer than 1 MiB");
    if (length < 0)
        return refuse(IO_FAILURE, "", "the network configuration cannot be read from standard input");
    if (length == 0)
        return refuse(NOT_DECODED, "", "the network configuration on standard input is empty");
    fields[ENVIRONMENT_FIELDS].bytes = input;
    fields[ENVIRONMENT_FIELDS].length = (size_t)length;

    if (fields[NETNS].length > 0) {
        namespace = open(fields[NETNS].bytes, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (namespace < 0 && strcmp(fields[COMMAND].bytes, "DEL") != 0)
            return refuse(BAD_ENVIRONMENT, NAMES[NETNS], "cannot be opened");
    }
    return exchange(path, fields, namespace, deadline);
}

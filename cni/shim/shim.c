/* The executable that a container runtime starts. It does no work: it hands its CNI_* environment,
 * its standard input and the pod's open network namespace to the server on a Unix socket, and
 * copies the answer to standard output.
 *
 * It parses no JSON. What it answers itself is fixed text of the CNI specification (1.0.0,
 * "Error" and "Version"): a caller that speaks an older version reads the same fields.
 *
 * A frame is a big-endian 32-bit length and so many bytes.
 *   request: "FPC1", then one frame each for CNI_COMMAND, CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME,
 *            CNI_ARGS, CNI_PATH and standard input; the namespace's descriptor travels with the
 *            first byte (SCM_RIGHTS).
 *   answer:  exit code (32 bits, big-endian), then one frame.
 */
#define _GNU_SOURCE
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
#include <time.h>
#include <unistd.h>

#define DEFAULT_SOCKET "/run/felix-py/cni.sock"

enum {
    MAX_STDIN_BYTES = 1 << 20,   /* a longer configuration is refused */
    MAX_FIELD_BYTES = 64 << 10,  /* a longer variable is refused */
    MAX_ANSWER_BYTES = 1 << 20,  /* a longer answer is an I/O error */
    OVERALL_MS = 90 * 1000,      /* then: "try again later" */
    CONNECT_MS = 10 * 1000,      /* how long a server may be away, each time */
    RETRY_MS = 25,
    ENVIRONMENT_FIELDS = 6,
    FIELDS = ENVIRONMENT_FIELDS + 1,
};

enum { COMMAND, CONTAINER_ID, NETNS, IFNAME };

static const char *const NAMES[ENVIRONMENT_FIELDS] = {
    "CNI_COMMAND", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH",
};

/* Error codes of the specification. */
enum { BAD_ENVIRONMENT = 4, IO_FAILURE = 5, NOT_DECODED = 6, TRY_AGAIN = 11 };

struct field {
    const char *bytes;
    size_t length;
};

static int64_t now_ms(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (int64_t)at.tv_sec * 1000 + at.tv_nsec / 1000000;
}

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

/* 1: ready, 0: time is over, -1: poll failed. */
static int await(int descriptor, short what, int64_t deadline)
{
    for (;;) {
        int64_t left = deadline - now_ms();
        struct pollfd one = {.fd = descriptor, .events = what};
        if (left <= 0)
            return 0;
        int found = poll(&one, 1, (int)left);
        if (found >= 0 || errno != EINTR)
            return found;
    }
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

/* A connected, non-blocking socket; -1: nobody listened in time. A full backlog (EAGAIN), a
 * missing file and a refusal all mean that the server is busy or restarting. */
static int connect_to(const char *path, int64_t deadline)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int64_t until = now_ms() + CONNECT_MS;
    memcpy(to.sun_path, path, strlen(path) + 1);
    if (until > deadline)
        until = deadline;
    for (;;) {
        int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (sock < 0)
            return -1;
        if (connect(sock, (struct sockaddr *)&to, sizeof to) == 0)
            return sock;
        int why = errno;
        close(sock);
        if (why != ENOENT && why != ECONNREFUSED && why != EAGAIN && why != EINTR)
            return -1;
        if (now_ms() >= until)
            return -1;
        poll(NULL, 0, RETRY_MS);
    }
}

static int send_all(int sock, const char *bytes, size_t length, int64_t deadline)
{
    while (length > 0) {
        ssize_t sent = send(sock, bytes, length, MSG_NOSIGNAL);
        if (sent > 0) {
            bytes += sent;
            length -= (size_t)sent;
        } else if (errno == EAGAIN) {
            if (await(sock, POLLOUT, deadline) != 1)
                return -1;
        } else if (errno != EINTR) {
            return -1;
        }
    }
    return 0;
}

/* The first byte alone carries the descriptor, so that a short write cannot lose it. */
static int send_first(int sock, char byte, int namespace, int64_t deadline)
{
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    union {
        struct cmsghdr aligned;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    memset(&control, 0, sizeof control);
    if (namespace >= 0) {
        message.msg_control = control.space;
        message.msg_controllen = sizeof control.space;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &namespace, sizeof(int));
    }
    for (;;) {
        if (sendmsg(sock, &message, MSG_NOSIGNAL) == 1)
            return 0;
        if (errno == EAGAIN ? await(sock, POLLOUT, deadline) != 1 : errno != EINTR)
            return -1;
    }
}

static int receive(int sock, void *into, size_t length, int64_t deadline)
{
    char *at = into;
    while (length > 0) {
        if (await(sock, POLLIN, deadline) != 1)
            return -1;
        ssize_t got = recv(sock, at, length, 0);
        if (got > 0) {
            at += got;
            length -= (size_t)got;
        } else if (got == 0 || (errno != EINTR && errno != EAGAIN)) {
            return -1;
        }
    }
    return 0;
}

static uint32_t from_big_endian(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* The whole request as one buffer, so that it can be sent again; NULL: no memory. */
static char *pack(const struct field *fields, size_t *length)
{
    size_t total = 4;
    for (int i = 0; i < FIELDS; i++)
        total += 4 + fields[i].length;
    char *request = malloc(total);
    if (request == NULL)
        return NULL;
    char *at = request;
    memcpy(at, "FPC1", 4);
    at += 4;
    for (int i = 0; i < FIELDS; i++) {
        uint32_t size = (uint32_t)fields[i].length;
        *at++ = (char)(size >> 24);
        *at++ = (char)(size >> 16);
        *at++ = (char)(size >> 8);
        *at++ = (char)size;
        memcpy(at, fields[i].bytes, size);
        at += size;
    }
    *length = total;
    return request;
}

/* The answer's exit code after copying it to standard output; -1: the connection broke, ask again
 * (every request is safe to repeat); -2: the answer cannot be delivered. */
static int ask(int sock, const char *request, size_t length, int namespace, int64_t deadline)
{
    unsigned char head[8];
    if (send_first(sock, request[0], namespace, deadline) != 0 ||
        send_all(sock, request + 1, length - 1, deadline) != 0 ||
        receive(sock, head, sizeof head, deadline) != 0)
        return -1;
    uint32_t size = from_big_endian(head + 4);
    if (size > MAX_ANSWER_BYTES)
        return -2;
    char *answer = malloc(size + 1);
    if (answer == NULL)
        return -2;
    if (receive(sock, answer, size, deadline) != 0) {
        free(answer);
        return -1;
    }
    size_t written = fwrite(answer, 1, size, stdout);
    free(answer);
    if (written != size || fflush(stdout) != 0)
        return -2;
    return from_big_endian(head) == 0 ? 0 : 1;
}

static int exchange(const char *path, const struct field *fields, int namespace, int64_t deadline)
{
    size_t length = 0;
    char *request = pack(fields, &length);
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

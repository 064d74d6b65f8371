/* Frames over a Unix socket with a deadline; see frame.h. */
#define _GNU_SOURCE
#include "frame.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

int64_t now_ms(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (int64_t)at.tv_sec * 1000 + at.tv_nsec / 1000000;
}

int await(int descriptor, short what, int64_t deadline)
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

/* A full backlog (EAGAIN), a missing file and a refusal all mean that the server is busy or
 * restarting. */
int connect_to(const char *path, int64_t deadline)
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

char *pack(const struct field *fields, int count, size_t *length)
{
    size_t total = 4;
    for (int i = 0; i < count; i++)
        total += 4 + fields[i].length;
    char *request = malloc(total);
    if (request == NULL)
        return NULL;
    char *at = request;
    memcpy(at, "FPC1", 4);
    at += 4;
    for (int i = 0; i < count; i++) {
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

int ask(int sock, const char *request, size_t length, int namespace, int64_t deadline)
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

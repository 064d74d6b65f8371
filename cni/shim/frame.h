/* The shim's side of its conversation with the server.
 *
 * A frame is a big-endian 32-bit length and so many bytes.
 *   request: "FPC1", then one frame per field; a descriptor may travel with the first byte
 *            (SCM_RIGHTS).
 *   answer:  exit code (32 bits, big-endian), then one frame.
 *
 * Every wait ends at `deadline`, in milliseconds of now_ms().
 */
#ifndef FELIX_PY_FRAME_H
#define FELIX_PY_FRAME_H

#include <stddef.h>
#include <stdint.h>

enum {
    MAX_ANSWER_BYTES = 1 << 20,  /* a longer answer cannot be delivered */
    CONNECT_MS = 10 * 1000,      /* how long a server may be away, each time */
    RETRY_MS = 25,
};

struct field {
    const char *bytes;
    size_t length;
};

/* The monotonic clock. */
int64_t now_ms(void);

/* poll(2) for one descriptor. 1: ready, 0: time is over, -1: poll failed. */
int await(int descriptor, short what, int64_t deadline);

/* A connected, non-blocking socket; -1: nobody listened in time. `path` fits into sun_path. */
int connect_to(const char *path, int64_t deadline);

/* The whole request as one buffer, so that it can be sent again; NULL: no memory. */
char *pack(const struct field *fields, int count, size_t *length);

/* The answer's exit code after copying it to standard output; -1: the connection broke, ask again
 * (every request is safe to repeat); -2: the answer cannot be delivered. */
int ask(int sock, const char *request, size_t length, int namespace, int64_t deadline);

#endif

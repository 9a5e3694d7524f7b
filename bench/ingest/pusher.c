/*
 * Pushes one prepared RTMP byte stream over many connections, each message at its own time in its own write.
 *
 *   pusher SCRIPT HOST PORT CONNECTIONS RAMP_MS
 *
 * SCRIPT (made by load.py, numbers are little-endian u32):
 *   "LRP1", opening size, placeholder offset count, message count,
 *   offsets of the five-digit number in the opening, pairs (due ms, size) of messages, opening, messages
 *
 * The digits in the opening become the number of the connection, so every connection has its own stream name. Answers
 * are read and thrown away: what arrived is checked in the recordings. Connection i starts at i * RAMP_MS / CONNECTIONS.
 * One thread; the bytes are shared by all connections. Prints one line of JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { TICK_US = 1000, DISCARD_EVERY = 64, END_WAIT_US = 10 * 1000 * 1000 };

struct message {
    uint32_t due_ms, size;
};

struct connection {
    int fd;
    int64_t start_us;
    uint8_t *opening;     /* own copy, freed when sent */
    uint32_t next;        /* message under way */
    size_t sent;          /* of that message, or of the opening */
    size_t position;      /* of that message in the shared bytes */
    int done;             /* 1: all sent and shut down, 2: the server has closed, too */
};

static uint8_t *script, *body, *opening;
static uint32_t opening_size, placeholders, messages;
static const uint32_t *offsets;
static const struct message *plan;

static uint64_t writes, blocked, bytes, failed;
static int64_t worst_lag_us;

static int64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void stop(const char *what) {
    perror(what);
    exit(2);
}

static void load(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) stop(path);
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    script = malloc(size);
    if (!script || fread(script, 1, size, file) != (size_t)size) stop(path);
    fclose(file);
    if (size < 16 || memcmp(script, "LRP1", 4)) {
        errno = EINVAL;
        stop(path);
    }
    const uint32_t *head = (const uint32_t *)script;
    opening_size = head[1], placeholders = head[2], messages = head[3];
    offsets = head + 4;
    plan = (const struct message *)(offsets + placeholders);
    opening = (uint8_t *)(plan + messages);
    body = opening + opening_size;
}

static void give_up(struct connection *c) {
    failed++;
    close(c->fd);
    c->done = 2;
}

/* Sends until `size` bytes of `data` are out; 0 if the socket takes no more now. */
static int put(struct connection *c, const uint8_t *data, size_t size) {
    while (c->sent < size) {
        ssize_t n = send(c->fd, data + c->sent, size - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        writes++;
        if (n < 0) {
            if (errno == EAGAIN || errno == ENOTCONN || errno == EINPROGRESS) blocked++;
            else give_up(c);
            return 0;
        }
        c->sent += n;
        bytes += n;
    }
    c->sent = 0;
    return 1;
}

static void discard(struct connection *c) {
    static uint8_t waste[65536];
    ssize_t n;
    while ((n = recv(c->fd, waste, sizeof waste, MSG_DONTWAIT)) > 0) {
    }
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        if (c->done) {
            close(c->fd);
            c->done = 2;
        } else give_up(c);
    }
}

static void begin(struct connection *c, int number, const struct sockaddr_in *server) {
    char digits[8];
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0) stop("socket");
    if (connect(c->fd, (const struct sockaddr *)server, sizeof *server)) stop("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->opening = malloc(opening_size);
    if (!c->opening) stop("malloc");
    memcpy(c->opening, opening, opening_size);
    snprintf(digits, sizeof digits, "%05d", number % 100000);
    for (uint32_t i = 0; i < placeholders; i++) memcpy(c->opening + offsets[i], digits, 5);
}

static void go_on(struct connection *c, int64_t now) {
    if (c->opening) {
        if (!put(c, c->opening, opening_size)) return;
        free(c->opening);
        c->opening = NULL;
    }
    while (!c->done && c->next < messages) {
        int64_t due = c->start_us + (int64_t)plan[c->next].due_ms * 1000;
        if (due > now) return;
        if (!put(c, body + c->position, plan[c->next].size)) return;
        int64_t lag = now_us() - due;
        if (lag > worst_lag_us) worst_lag_us = lag;
        c->position += plan[c->next++].size;
    }
    if (!c->done) {
        shutdown(c->fd, SHUT_WR);
        c->done = 1;
    }
}

int main(int argc, char **argv) {
    if (argc != 6) {
        fprintf(stderr, "usage: pusher SCRIPT HOST PORT CONNECTIONS RAMP_MS\n");
        return 2;
    }
    load(argv[1]);
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[3]))};
    if (inet_pton(AF_INET, argv[2], &server.sin_addr) != 1) stop(argv[2]);
    int count = atoi(argv[4]);
    int64_t ramp = (int64_t)atoi(argv[5]) * 1000, began = now_us(), all_sent = 0;
    struct connection *all = calloc(count, sizeof *all);
    if (!all) stop("calloc");
    for (int i = 0; i < count; i++) {
        all[i].fd = -1;
        all[i].start_us = began + ramp * i / count;
    }
    for (uint64_t round = 0;; round++) {
        int64_t now = now_us();
        int sending = 0, open = 0;
        for (int i = 0; i < count; i++) {
            struct connection *c = &all[i];
            if (c->done == 2) continue;
            open++;
            if (c->start_us > now) {
                sending++;
                continue;
            }
            if (c->fd < 0) begin(c, i, &server);
            if (!c->done) {
                sending++;
                go_on(c, now);
            }
            if ((round + i) % DISCARD_EVERY == 0 && c->done != 2) discard(c);
        }
        if (!sending && !all_sent) all_sent = now;
        if (!open || (all_sent && now - all_sent > END_WAIT_US)) break;
        int64_t left = TICK_US - (now_us() - now);
        if (left > 0) usleep(left);
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"connections\": %d, \"failed\": %llu, \"bytes\": %llu, \"writes\": %llu, \"blocked\": %llu, "
           "\"worst_lag_ms\": %.1f, \"seconds\": %.2f, \"cpu_seconds\": %.2f}\n",
           count, (unsigned long long)failed, (unsigned long long)bytes, (unsigned long long)writes,
           (unsigned long long)blocked, worst_lag_us / 1e3, (all_sent - began) / 1e6,
           usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    return failed ? 1 : 0;
}

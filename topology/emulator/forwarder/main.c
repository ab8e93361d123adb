/*
 * Forwards IPv4 packets between network namespaces as wide-area links would: through pipes with a rate and a bounded
 * first-in first-out queue, with a delay and losses on the way, until somebody cuts it.
 *
 *   forwarder SOCKET SEED
 *
 * It knows nothing of regions. Whoever drives it (emulator.ts) makes pipes and sites by number and says for each ordered
 * pair of sites which pipes its packets pass before the way and after it. Commands are lines on a Unix socket; each is
 * answered by one line, `ok ...` or `error ...`:
 *
 *   pipe N KBIT QUEUE_BYTES                         make or change; 0 kbit/s is no limit
 *   site N ADDRESS NAMESPACE                        a TUN device in it, up, with this address of 10.0.0.0/8
 *   route A B DELAY_US LOSS_PPM K PIPE.. L PIPE..   K pipes before the way, L after it
 *   cut A B 0|1
 *   counters | reset | stay | go
 *
 * It ends when the connection that first spoke to it closes, so that an aborted driver leaves nothing that runs. After
 * `stay` it goes on without one, until `go` or SIGTERM.
 *
 * Time is that of the model: a packet's way through all pipes is computed from when it was read, in order of time, so a
 * late wake-up makes a delivery late and changes no rate. How late is counted. A change of a rate holds for what comes in
 * after it. A shorter delay lets packets overtake those on the way.
 */
#define _GNU_SOURCE
#include "device.h"
#include "links.h"
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
  MAX_CLIENTS = 8,
  LINE_BYTES = 512,
};
/* Packets that are due within this time of each other go out in one wake-up. */
static const uint64_t QUANTUM_NS = 100000;

struct client {
  int fd;
  size_t length;
  char line[LINE_BYTES];
};

static struct client clients[MAX_CLIENTS];
static int owner = -1, has_owner, stays;
static volatile sig_atomic_t is_ended;

static char *answer;
static size_t answer_length, answer_room;

static void say(const char *format, ...) {
  for (;;) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(answer + answer_length, answer_room - answer_length, format, arguments);
    va_end(arguments);
    if (length < 0) abort();
    if ((size_t)length < answer_room - answer_length) {
      answer_length += (size_t)length;
      return;
    }
    answer_room = 2 * answer_room + (size_t)length + 1;
    answer = realloc(answer, answer_room);
    if (answer == NULL) abort();
  }
}

static const char *make_route(const char *text) {
  unsigned from, to, before, after;
  unsigned long long delay_us, loss_ppm;
  int used;
  if (sscanf(text, "%u %u %llu %llu %u%n", &from, &to, &delay_us, &loss_ppm, &before, &used) < 5) return "not a route";
  if (from >= MAX_SITES || to >= MAX_SITES || from == to || before > MAX_ROUTE) return "no such number";
  uint16_t list[MAX_ROUTE];
  unsigned count = 0, limit = before;
  for (int part = 0; part < 2; part++) {
    for (; count < limit; count++) {
      unsigned pipe;
      text += used;
      if (sscanf(text, "%u%n", &pipe, &used) < 1 || pipe >= MAX_PIPES) return "not a pipe";
      list[count] = (uint16_t)pipe;
    }
    if (part == 1) break;
    text += used;
    if (sscanf(text, "%u%n", &after, &used) < 1 || after > MAX_ROUTE - before) return "too many pipes";
    limit = before + after;
  }
  struct route *route = &routes[from * MAX_SITES + to];
  /* Packets on their way count steps of the route that they began. */
  if (route->is_known && (route->before != (int)before || route->pipes != (int)count)) return "another number of pipes";
  route->is_known = 1;
  route->before = (int)before;
  route->pipes = (int)count;
  memcpy(route->pipe, list, sizeof list);
  route->delay_ns = delay_us * 1000;
  route->loss = loss_ppm * ((uint64_t)1 << 32) / 1000000u;
  return NULL;
}

#define U(value) ((unsigned long long)(value))

static void say_counters(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
  say("ok {\"cpuSeconds\":%.3f,\"unroutable\":%llu,\"refused\":%llu,\"lateness\":{\"packets\":%llu,\"meanUs\":%.1f,"
      "\"maxUs\":%.1f,\"over1ms\":%llu,\"over5ms\":%llu},\"pipes\":[",
      cpu, U(totals.unroutable), U(totals.refused), U(totals.delivered), totals.delivered == 0 ? 0 : (double)totals.late_sum_ns / (double)totals.delivered / 1e3,
      (double)totals.late_max_ns / 1e3, U(totals.late_over_1ms), U(totals.late_over_5ms));
  const char *comma = "";
  for (int i = 0; i < MAX_PIPES; i++) {
    const struct pipe_ *pipe = &pipes[i];
    if (pipe->packets + pipe->dropped == 0) continue;
    say("%s[%d,%llu,%llu,%llu,%.1f,%.1f]", comma, i, U(pipe->bytes), U(pipe->packets), U(pipe->dropped),
        pipe->packets == 0 ? 0 : (double)pipe->wait_sum_ns / (double)pipe->packets / 1e3, (double)pipe->wait_max_ns / 1e3);
    comma = ",";
  }
  say("],\"pairs\":[");
  comma = "";
  for (int i = 0; i < MAX_SITES * MAX_SITES; i++) {
    const struct route *route = &routes[i];
    if (route->sent_packets == 0) continue;
    say("%s[%d,%d,%llu,%llu,%llu,%llu,%llu,%llu,%llu]", comma, i / MAX_SITES, i % MAX_SITES, U(route->sent_bytes),
        U(route->sent_packets), U(route->arrived_bytes), U(route->arrived_packets), U(route->lost_full),
        U(route->lost_loss), U(route->lost_cut));
    comma = ",";
  }
  say("]}");
}

static const char *obey(const char *line) {
  unsigned a, b, flag;
  unsigned long long kbit, queue_bytes;
  char address[32], namespace[256];
  if (sscanf(line, "pipe %u %llu %llu", &a, &kbit, &queue_bytes) == 3) {
    if (a >= MAX_PIPES) return "no such number";
    pipes[a].kbit = kbit;
    pipes[a].queue_bytes = queue_bytes;
    return NULL;
  }
  if (sscanf(line, "site %u %31s %255s", &a, address, namespace) == 3) return make_site((int)a, address, namespace);
  if (strncmp(line, "route ", 6) == 0) return make_route(line + 6);
  if (sscanf(line, "cut %u %u %u", &a, &b, &flag) == 3) {
    if (a >= MAX_SITES || b >= MAX_SITES) return "no such number";
    routes[a * MAX_SITES + b].is_cut = flag != 0;
    return NULL;
  }
  if (strcmp(line, "counters") == 0) say_counters();
  else if (strcmp(line, "reset") == 0) links_reset_counters();
  else if (strcmp(line, "stay") == 0) stays = 1;
  else if (strcmp(line, "go") == 0) is_ended = 1;
  else return "no such command";
  return NULL;
}

/* A driver that does not read its answer for two seconds is given up. */
static int send_answer(int fd) {
  for (size_t sent = 0; sent < answer_length;) {
    ssize_t count = send(fd, answer + sent, answer_length - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count > 0) {
      sent += (size_t)count;
      continue;
    }
    struct pollfd waits = {.fd = fd, .events = POLLOUT};
    if (errno != EAGAIN || poll(&waits, 1, 2000) != 1) return -1;
  }
  return 0;
}

static void close_client(struct client *client) {
  if (client->fd == owner) {
    owner = -1;
    if (!stays) is_ended = 1;
  }
  close(client->fd);
  client->fd = -1;
}

static void serve(struct client *client) {
  ssize_t count = recv(client->fd, client->line + client->length, LINE_BYTES - client->length, 0);
  if (count <= 0) {
    if (count == 0 || (errno != EAGAIN && errno != EINTR)) close_client(client);
    return;
  }
  client->length += (size_t)count;
  for (char *end; (end = memchr(client->line, '\n', client->length)) != NULL;) {
    *end = '\0';
    if (!has_owner) {
      has_owner = 1;
      owner = client->fd;
    }
    answer_length = 0;
    const char *fault = obey(client->line);
    if (fault != NULL) say("error %s", fault);
    else if (answer_length == 0) say("ok");
    say("\n");
    if (send_answer(client->fd) < 0) {
      close_client(client);
      return;
    }
    client->length -= (size_t)(end + 1 - client->line);
    memmove(client->line, end + 1, client->length);
  }
  if (client->length == LINE_BYTES) close_client(client);
}

static void accept_client(int listener) {
  int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return;
  for (int i = 0; i < MAX_CLIENTS; i++)
    if (clients[i].fd < 0) {
      clients[i] = (struct client){.fd = fd};
      return;
    }
  close(fd);
}

static void end(int signal_number) {
  (void)signal_number;
  is_ended = 1;
}

static int listen_at(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(address.sun_path, path);
  int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  umask(077);
  if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 4) < 0) return -1;
  return listener;
}

static void run(int listener) {
  struct pollfd waits[1 + MAX_CLIENTS + MAX_SITES];
  while (!is_ended) {
    int count = 0;
    waits[count++] = (struct pollfd){.fd = listener, .events = POLLIN};
    /* poll skips those below 0 */
    for (int i = 0; i < MAX_CLIENTS; i++) waits[count++] = (struct pollfd){.fd = clients[i].fd, .events = POLLIN};
    int sites = 0;
    for (; sites < MAX_SITES && tun_of[sites] >= 0; sites++)
      waits[count++] = (struct pollfd){.fd = tun_of[sites], .events = POLLIN};
    struct timespec wait = {0}, *limit = NULL;
    uint64_t next_ns = links_next_ns();
    if (next_ns != UINT64_MAX) {
      uint64_t at_ns = now_ns();
      uint64_t wait_ns = next_ns > at_ns ? next_ns - at_ns : 0;
      if (wait_ns > 0 && wait_ns < QUANTUM_NS) wait_ns = QUANTUM_NS;
      wait.tv_sec = (time_t)(wait_ns / 1000000000u);
      wait.tv_nsec = (long)(wait_ns % 1000000000u);
      limit = &wait;
    }
    int ready = ppoll(waits, (nfds_t)count, limit, NULL);
    if (ready < 0 && errno != EINTR) abort();
    links_move();
    if (ready <= 0) continue;
    for (int i = 0; i < sites; i++)
      if (waits[1 + MAX_CLIENTS + i].revents != 0) links_read(i);
    links_move();
    for (int i = 0; i < MAX_CLIENTS; i++)
      if (waits[1 + i].revents != 0 && clients[i].fd == waits[1 + i].fd) serve(&clients[i]);
    if (waits[0].revents != 0) accept_client(listener);
  }
}

int main(int count, char **arguments) {
  if (count != 3) {
    fprintf(stderr, "usage: forwarder SOCKET SEED\n");
    return 2;
  }
  if (links_init(strtoull(arguments[2], NULL, 10)) < 0 || devices_init() < 0) {
    perror("forwarder");
    return 1;
  }
  for (int i = 0; i < MAX_CLIENTS; i++) clients[i].fd = -1;
  struct sigaction action = {.sa_handler = end};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  /* Before all others, where that is allowed: what it is late is measured either way. */
  struct sched_param first = {.sched_priority = 10};
  if (sched_setscheduler(0, SCHED_RR, &first) < 0) {
    setpriority(PRIO_PROCESS, 0, -20);
    prctl(PR_SET_TIMERSLACK, 1);
  }
  int listener = listen_at(arguments[1]);
  if (listener < 0) {
    fprintf(stderr, "forwarder: %s: %s\n", arguments[1], strerror(errno));
    return 1;
  }
  run(listener);
  unlink(arguments[1]);
  return 0;
}

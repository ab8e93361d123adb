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
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
  MAX_SITES = 256,
  MAX_PIPES = 4096,
  MAX_ROUTE = 6,
  MAX_CLIENTS = 8,
  MTU = 1500,
  HEADER = sizeof(struct virtio_net_hdr),
  READ_AT_ONCE = 64,
  LINE_BYTES = 512,
  MAX_PACKETS = 1 << 18,
};
/* Packets that are due within this time of each other go out in one wake-up. */
static const uint64_t QUANTUM_NS = 100000;

struct pipe_ {
  uint64_t kbit, queue_bytes, free_ns; /* free_ns: when the last byte of what it has taken in is out */
  uint64_t bytes, packets, dropped, wait_sum_ns, wait_max_ns;
};

struct route {
  uint64_t delay_ns;
  uint64_t loss; /* of 2^32 */
  int is_known, is_cut, before, pipes;
  uint16_t pipe[MAX_ROUTE];
  uint64_t sent_bytes, sent_packets, arrived_bytes, arrived_packets, lost_full, lost_loss, lost_cut;
};

struct packet {
  uint64_t due_ns, order;
  struct packet *next; /* of those not in use */
  uint16_t from, to, length;
  uint8_t step; /* pipes before the way, the way, pipes after it */
  uint8_t bytes[HEADER + MTU];
};

struct client {
  int fd;
  size_t length;
  char line[LINE_BYTES];
};

static struct pipe_ pipes[MAX_PIPES];
static struct route *routes; /* MAX_SITES x MAX_SITES */
static int tun_of[MAX_SITES];
static int site_of_address[1 << 16]; /* by the last two bytes of the address, plus one */
static uint32_t address_of[MAX_SITES];
static struct client clients[MAX_CLIENTS];
static struct packet **heap, *unused;
static size_t heap_size, packets_made;
static uint64_t next_order, random_state, unroutable, refused;
static uint64_t delivered, late_sum_ns, late_max_ns, late_over_1ms, late_over_5ms;
static int owner = -1, has_owner, stays, home_namespace;
static volatile sig_atomic_t is_ended;

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* xorshift64* (Vigna, 2016): the upper half is as good as random for losses, and the same for the same seed. */
static uint32_t random32(void) {
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return (uint32_t)((random_state * 0x2545F4914F6CDD1Du) >> 32);
}

/* --- packets in order of time ------------------------------------------------------------------------------------ */

static int is_before(const struct packet *a, const struct packet *b) {
  return a->due_ns < b->due_ns || (a->due_ns == b->due_ns && a->order < b->order);
}

static void schedule(struct packet *packet, uint64_t due_ns) {
  packet->due_ns = due_ns;
  packet->order = next_order++;
  size_t at = heap_size++;
  while (at > 0 && is_before(packet, heap[(at - 1) / 2])) {
    heap[at] = heap[(at - 1) / 2];
    at = (at - 1) / 2;
  }
  heap[at] = packet;
}

static struct packet *take_first(void) {
  struct packet *first = heap[0], *last = heap[--heap_size];
  size_t at = 0;
  for (;;) {
    size_t child = 2 * at + 1;
    if (child >= heap_size) break;
    if (child + 1 < heap_size && is_before(heap[child + 1], heap[child])) child++;
    if (!is_before(heap[child], last)) break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = last;
  return first;
}

static struct packet *new_packet(void) {
  struct packet *packet = unused;
  if (packet != NULL) {
    unused = packet->next;
    return packet;
  }
  if (packets_made == MAX_PACKETS) return NULL;
  packets_made++;
  return malloc(sizeof *packet);
}

static void forget(struct packet *packet) {
  packet->next = unused;
  unused = packet;
}

/* --- the model --------------------------------------------------------------------------------------------------- */

/* When the packet has left the pipe; 0 when there was no room for it. */
static uint64_t pass(struct pipe_ *pipe, uint64_t at_ns, uint64_t bytes) {
  uint64_t leave_ns = at_ns;
  if (pipe->kbit > 0) {
    uint64_t wait_ns = pipe->free_ns > at_ns ? pipe->free_ns - at_ns : 0;
    if (wait_ns * pipe->kbit / 8000000u + bytes > pipe->queue_bytes) {
      pipe->dropped++;
      return 0;
    }
    leave_ns = at_ns + wait_ns + bytes * 8000000u / pipe->kbit;
    pipe->free_ns = leave_ns;
    pipe->wait_sum_ns += wait_ns;
    if (wait_ns > pipe->wait_max_ns) pipe->wait_max_ns = wait_ns;
  }
  pipe->bytes += bytes;
  pipe->packets++;
  return leave_ns;
}

static void deliver(struct packet *packet, struct route *route, uint64_t due_ns) {
  if (write(tun_of[packet->to], packet->bytes, HEADER + packet->length) < 0) {
    refused++;
  } else {
    route->arrived_bytes += packet->length;
    route->arrived_packets++;
    uint64_t at_ns = now_ns();
    uint64_t late_ns = at_ns > due_ns ? at_ns - due_ns : 0;
    delivered++;
    late_sum_ns += late_ns;
    if (late_ns > late_max_ns) late_max_ns = late_ns;
    if (late_ns > 1000000u) late_over_1ms++;
    if (late_ns > 5000000u) late_over_5ms++;
  }
  forget(packet);
}

/* Moves a packet on from where it is at `at_ns`, to its next wait or to its end. */
static void advance(struct packet *packet, uint64_t at_ns) {
  struct route *route = &routes[packet->from * MAX_SITES + packet->to];
  for (;;) {
    int step = packet->step;
    if (route->is_cut && step >= route->before) {
      route->lost_cut++;
      forget(packet);
      return;
    }
    if (step > route->pipes) {
      deliver(packet, route, at_ns);
      return;
    }
    uint64_t leave_ns;
    packet->step++;
    if (step == route->before) {
      if (route->loss > 0 && random32() < route->loss) {
        route->lost_loss++;
        forget(packet);
        return;
      }
      leave_ns = at_ns + route->delay_ns;
    } else {
      leave_ns = pass(&pipes[route->pipe[step < route->before ? step : step - 1]], at_ns, packet->length);
      if (leave_ns == 0) {
        route->lost_full++;
        forget(packet);
        return;
      }
    }
    if (leave_ns > at_ns) {
      schedule(packet, leave_ns);
      return;
    }
  }
}

static void move_what_is_due(void) {
  while (heap_size > 0 && heap[0]->due_ns <= now_ns()) {
    struct packet *packet = take_first();
    advance(packet, packet->due_ns);
  }
}

static void read_packets(int site) {
  for (int count = 0; count < READ_AT_ONCE; count++) {
    struct packet *packet = new_packet();
    if (packet == NULL) {
      uint8_t nothing[HEADER + MTU];
      if (read(tun_of[site], nothing, sizeof nothing) < 0) return;
      refused++;
      continue;
    }
    ssize_t length = read(tun_of[site], packet->bytes, sizeof packet->bytes);
    if (length < 0) {
      forget(packet);
      return;
    }
    const uint8_t *ip = packet->bytes + HEADER;
    int to = -1;
    if (length >= HEADER + 20 && ip[0] >> 4 == 4 && ip[16] == 10)
      to = site_of_address[ip[18] << 8 | ip[19]] - 1;
    uint32_t address;
    memcpy(&address, ip + 16, 4);
    if (to < 0 || address != address_of[to] || !routes[site * MAX_SITES + to].is_known) {
      unroutable++;
      forget(packet);
      continue;
    }
    packet->from = (uint16_t)site;
    packet->to = (uint16_t)to;
    packet->length = (uint16_t)(length - HEADER);
    packet->step = 0;
    struct route *route = &routes[site * MAX_SITES + to];
    route->sent_bytes += packet->length;
    route->sent_packets++;
    /* In the order of time with those that wait: it is moved on by move_what_is_due. */
    schedule(packet, now_ns());
  }
}

/* --- commands ---------------------------------------------------------------------------------------------------- */

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

static void set_system(const char *name, const char *value) {
  int fd = open(name, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return; /* A kernel without it needs no setting. */
  if (write(fd, value, strlen(value)) < 0) fprintf(stderr, "forwarder: %s: %s\n", name, strerror(errno));
  close(fd);
}

static int set_up(int device, const char *name, struct in_addr address) {
  struct ifreq request = {0};
  strcpy(request.ifr_name, name);
  struct sockaddr_in *to = (struct sockaddr_in *)&request.ifr_addr;
  to->sin_family = AF_INET;
  to->sin_addr = address;
  if (address.s_addr != 0) {
    if (ioctl(device, SIOCSIFADDR, &request) < 0) return -1;
    to->sin_addr.s_addr = htonl(0xff000000);
    if (ioctl(device, SIOCSIFNETMASK, &request) < 0) return -1;
    request.ifr_mtu = MTU;
    if (ioctl(device, SIOCSIFMTU, &request) < 0) return -1;
    request.ifr_qlen = 4096;
    if (ioctl(device, SIOCSIFTXQLEN, &request) < 0) return -1;
  }
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  return ioctl(device, SIOCSIFFLAGS, &request);
}

/* A TUN device in the namespace that this process is in. Checksums are left to the receiver, as on a virtual link. */
static int open_tun(struct in_addr address) {
  int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (tun < 0) return -1;
  struct ifreq request = {0};
  request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
  strcpy(request.ifr_name, "wan");
  int device = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct in_addr none = {0};
  if (device >= 0 && ioctl(tun, TUNSETIFF, &request) == 0 && ioctl(tun, TUNSETOFFLOAD, TUN_F_CSUM) == 0) {
    set_system("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
    /* What one measurement learned of a path is not the next one's to know. */
    set_system("/proc/sys/net/ipv4/tcp_no_metrics_save", "1");
    if (set_up(device, "lo", none) == 0 && set_up(device, "wan", address) == 0) {
      close(device);
      return tun;
    }
  }
  int fault = errno;
  if (device >= 0) close(device);
  close(tun);
  errno = fault;
  return -1;
}

static const char *make_site(int site, const char *text, const char *namespace) {
  struct in_addr address;
  char path[300];
  if (site < 0 || site >= MAX_SITES || tun_of[site] >= 0) return "no such number";
  if (inet_pton(AF_INET, text, &address) != 1 || ntohl(address.s_addr) >> 24 != 10) return "no such address";
  snprintf(path, sizeof path, "/run/netns/%s", namespace);
  int there = open(path, O_RDONLY | O_CLOEXEC);
  if (there < 0 || setns(there, CLONE_NEWNET) < 0) {
    if (there >= 0) close(there);
    return strerror(errno);
  }
  close(there);
  int tun = open_tun(address);
  int fault = errno;
  if (setns(home_namespace, CLONE_NEWNET) < 0) abort();
  if (tun < 0) return strerror(fault);
  tun_of[site] = tun;
  address_of[site] = address.s_addr;
  site_of_address[ntohl(address.s_addr) & 0xffff] = site + 1;
  return NULL;
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
      cpu, U(unroutable), U(refused), U(delivered), delivered == 0 ? 0 : (double)late_sum_ns / (double)delivered / 1e3,
      (double)late_max_ns / 1e3, U(late_over_1ms), U(late_over_5ms));
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

static void reset_counters(void) {
  for (int i = 0; i < MAX_PIPES; i++)
    pipes[i].bytes = pipes[i].packets = pipes[i].dropped = pipes[i].wait_sum_ns = pipes[i].wait_max_ns = 0;
  for (int i = 0; i < MAX_SITES * MAX_SITES; i++) {
    struct route *route = &routes[i];
    route->sent_bytes = route->sent_packets = route->arrived_bytes = route->arrived_packets = 0;
    route->lost_full = route->lost_loss = route->lost_cut = 0;
  }
  delivered = late_sum_ns = late_max_ns = late_over_1ms = late_over_5ms = unroutable = refused = 0;
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
  else if (strcmp(line, "reset") == 0) reset_counters();
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

/* --- the loop ---------------------------------------------------------------------------------------------------- */

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
    if (heap_size > 0) {
      uint64_t at_ns = now_ns();
      uint64_t wait_ns = heap[0]->due_ns > at_ns ? heap[0]->due_ns - at_ns : 0;
      if (wait_ns > 0 && wait_ns < QUANTUM_NS) wait_ns = QUANTUM_NS;
      wait.tv_sec = (time_t)(wait_ns / 1000000000u);
      wait.tv_nsec = (long)(wait_ns % 1000000000u);
      limit = &wait;
    }
    int ready = ppoll(waits, (nfds_t)count, limit, NULL);
    if (ready < 0 && errno != EINTR) abort();
    move_what_is_due();
    if (ready <= 0) continue;
    for (int i = 0; i < sites; i++)
      if (waits[1 + MAX_CLIENTS + i].revents != 0) read_packets(i);
    move_what_is_due();
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
  random_state = strtoull(arguments[2], NULL, 10) * 0x9E3779B97F4A7C15u + 1;
  routes = calloc((size_t)MAX_SITES * MAX_SITES, sizeof *routes);
  heap = malloc(sizeof(struct packet *) * MAX_PACKETS);
  home_namespace = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (routes == NULL || heap == NULL || home_namespace < 0) {
    perror("forwarder");
    return 1;
  }
  for (int i = 0; i < MAX_SITES; i++) tun_of[i] = -1;
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
